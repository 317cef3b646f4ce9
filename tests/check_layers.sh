#!/bin/sh
# Checks what the sources of each folder use: the #include arrows
# (proto <- common <- admin <- broker | gateway | cli), which files may know which library, and that
# the pure files ask neither clock nor network and print nothing.
#
#   tests/check_layers.sh [ROOT]     prints "file:line: rule" for each violation, exit status 1
#   tests/check_layers.sh --prove    shows that each rule can fail
set -eu

# Reads "file:line:text" of every #include and of every line of the pure files.
check() {
    cd "$1"
    find proto common admin broker gateway cli bench -name '*.[ch]' -o -name '*.def' 2>/dev/null |
        LC_ALL=C sort >"$list"
    # shellcheck disable=SC2046 # our own file names have no spaces
    LC_ALL=C awk '
    function report(rule) {
        printf "%s:%d: %s\n", FILENAME, FNR, rule
        bad = 1
    }
    function only(header, files) {
        if (name == header && FILENAME !~ files)
            report("<" header "> may not be used here")
    }
    BEGIN {
        uses["proto"] = "proto"
        uses["common"] = "proto common"
        uses["admin"] = "proto common admin"
        uses["broker"] = "proto common admin broker"
        uses["gateway"] = "proto common admin gateway"
        uses["cli"] = "proto common cli"
        uses["bench"] = "proto common bench"
    }
    FNR == 1 {
        folder = FILENAME
        sub("/.*", "", folder)
        pure = FILENAME ~ "^(proto|common)/" || FILENAME ~ "^broker/(core|sites|asks|away|tally)" ||
               FILENAME ~ "^gateway/(audit|hub|identity|session|subscriber|subscription|interest|presence|census|questions|recent)"
        if (FILENAME ~ "^common/(log|log_format|clock)[.]")
            pure = 0
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        name = $0
        sub(/^[^"]*"/, "", name)
        sub(/".*/, "", name)
        from = name
        if (!sub("/.*", "", from))
            report("write \"folder/" name "\"")
        else if (!index(" " uses[folder] " ", " " from " "))
            report(folder " may not use " from)
        if (pure && (name == "common/log.h" || name == "common/clock.h"))
            report("a pure file may not use " name)
    }
    /^[ \t]*#[ \t]*include[ \t]*</ {
        name = $0
        sub(/^[^<]*</, "", name)
        sub(/>.*/, "", name)
        only("msgpack.h", "^(proto/wire|bench/handler)[.]c$")
        only("jansson.h", "^(proto/json_doc|bench/herd_line)[.]c$")
        only("ini.h", "^common/options_file[.]c$")
        only("sqlite3.h", "^broker/store_(file|records|sqlite)[.][ch]$")
        only("microhttpd.h", "^admin/")
        only("curl/curl.h", "^cli/http_get[.]c$")
        only("zmq.h", "^(broker/(bus|peers)|gateway/bus_link)[^/]*$|^(cli|bench)/")
        only("libwebsockets.h", "^gateway/(ws[^/]*|http_(page[.]c|fallback[.]c|headers[.][ch])|gateway[.]c)$|^cli/")
        only("uv.h", "^gateway/")
        if (name ~ "^cjose/" &&
            FILENAME !~ "^(common/key_set[.][ch]|gateway/identity[.]c|cli/(cmd_keys|cmd_token|key_file)[.][ch])$")
            report("<" name "> may not be used here")
        if (pure && name ~ "^(time|sys/time|poll|sys/epoll|sys/socket|netinet/.*|netdb|syslog|uv)[.]h$")
            report("a pure file may not use <" name ">")
    }
    pure && !/^[ \t]*(\/\*|\*|\/\/)/ &&
    match($0, /(^|[^A-Za-z0-9_.>])(clock_gettime|clock_[a-z]+_ms|gettimeofday|time|[a-z]*sleep|v?[fd]?printf|puts|fputs|putchar|fwrite|perror|syslog|log_(write|debug|info|warn|error)|write|socket|connect|bind|listen|accept4?|send|sendmsg|sendto|recv|recvmsg|recvfrom|poll|select|epoll_[a-z]+)\(/) {
        report("a pure file may not call " substr($0, RSTART, RLENGTH) ")")
    }
    END { exit bad }
    ' $(cat "$list")
}

# A tree with one bad file for each rule; every one must be found, and a good one must not.
prove() {
    tree=$work/tree
    mkdir -p "$tree/gateway" "$tree/broker" "$tree/common" "$tree/proto" "$tree/cli" "$tree/admin"
    plant() { # FILE LINE
        printf '/* planted */\n%s\n' "$2" >"$tree/$1"
        if (check "$tree") >"$work/found"; then
            echo "not found: $1: $2"
            exit 1
        fi
        grep -q "^$1:2: " "$work/found"
        rm "$tree/$1"
    }
    printf '#include <stdio.h>\n\n#include "proto/span.h"\nsnprintf(x); visit->send(y);\n' \
        >"$tree/common/good.c"
    (check "$tree")

    plant proto/x.c '#include "common/map.h"'
    plant common/x.c '#include "broker/core.h"'
    plant common/x.h '  #  include  "admin/admin_http.h"'
    plant admin/x.c '#include "gateway/hub.h"'
    plant broker/x.c '#include "gateway/hub.h"'
    plant gateway/x.c '#include "broker/core.h"'
    plant cli/x.c '#include "gateway/hub.h"'
    plant common/x.c '#include "map.h"'
    plant proto/x.c '#include <msgpack.h>'
    plant proto/x.c '#include <jansson.h>'
    plant common/x.c '#include <ini.h>'
    plant broker/x.c '#include <microhttpd.h>'
    plant broker/core.c '#include <sqlite3.h>'
    plant cli/cmd_status.c '#include <curl/curl.h>'
    plant broker/core.c '#include <zmq.h>'
    plant gateway/ws.c '#include <zmq.h>'
    plant gateway/hub.c '#include <libwebsockets.h>'
    plant gateway/http_request.c '#include <libwebsockets.h>'
    plant broker/x.c '#include <uv.h>'
    plant gateway/session.c '#include <uv.h>'
    plant gateway/session.c '#include <cjose/jws.h>'
    plant common/x.c '#include <time.h>'
    plant common/x.c '#include "common/clock.h"'
    plant gateway/hub.c '#include "common/log.h"'
    plant common/x.c 'now = time(NULL);'
    plant common/x.c 'now = clock_monotonic_ms();'
    plant common/x.c 'printf("x");'
    plant common/x.c 'if (send(fd, data, size, 0) < 0)'
    plant broker/core.c 'log_info("x", LOG_UINT("y", 1));'
    echo "every rule can fail"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
list=$work/files
if [ "${1:-}" = --prove ]; then
    prove
else
    check "${1:-.}"
fi
