# shellcheck shell=bash
# demo/run.sh - `./dev run`: one broker, some gateways, the demo page with its backend, and the
# supervisor that keeps them alive. Read by ./dev, whose functions and BUILD_DIR it uses.
#
# All that a run makes is in $RUN_DIR: logs, the effective settings, the FIFO on which the page asks to
# kill a gateway or to take a right back, the one on which the latter goes on to the demo's backend, the
# demo's keys, and page/, the only folder that is served.

RUN_DIR=${RUN_DIR:-$BUILD_DIR/run}
TOKEN_SECONDS=$((30 * 24 * 3600))
PATIENCE_MS=15000      # for a process to become ready
RESTART_MS=1000        # after the end of a process; twice as long after each end in a row, up to
RESTART_MAX_MS=8000    # this, until it has
PROVEN_MS=10000        # lived for so long
DRAIN_MS=1500          # between the signal to end and the one that cuts the gateways' drain short
END_MS=10000           # for all to end
CLOSE_MS=2000          # for the demo's backend to take its handler off the broker
REVOKE_MS=1000         # between two revokes: more than the demo's backend needs for one

# --- settings ---

# setting SECTION KEY: its effective value, from the printed settings.
setting() {
    awk -v section="[$1]" -v key="$2" '
        /^\[/ { inside = ($0 == section) }
        inside && $1 == key && $2 == "=" { sub(/^[^=]*= ?/, ""); print; exit }' "$RUN_DIR/settings.ini"
}

port_is_taken() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# refuse_taken SECTION KEY HOST PORT
refuse_taken() {
    [ "$4" != 0 ] && port_is_taken "$3" "$4" || return 0
    die "$3:$4 is taken: is Millrace running already? Stop what listens there, or set [$1] $2"
}

refuse_taken_ports() {
    local key endpoint number
    for key in control publications backends; do
        endpoint=$(setting broker "$key")
        case $endpoint in
        tcp://*) endpoint=${endpoint#tcp://} && refuse_taken broker "$key" "${endpoint%:*}" "${endpoint##*:}" ;;
        esac
    done
    refuse_taken broker admin_port "$(setting broker admin_address)" "$(setting broker admin_port)"
    refuse_taken gateway listen_port "$(setting gateway listen_address)" "$(setting gateway listen_port)"
    for ((number = 1; number <= GATEWAYS; number++)); do
        refuse_taken gateway admin_port "$(setting gateway admin_address)" "$(gateway_admin_port "$number")"
    done
}

# The gateways' own ports count up from the one that is set; 0 stays off.
gateway_admin_port() {
    local first
    first=$(setting gateway admin_port)
    say $((first == 0 ? 0 : first + $1 - 1))
}

# The demo page is for this machine alone.
is_loopback() { case $1 in 127.* | ::1) ;; *) false ;; esac; }

# --- the demo page ---

# json TEXT: as a JSON string. Our texts are paths and names of one line.
json() { printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"; }

# token TYPE SUBJECT
token() {
    "$BUILD_DIR/cli/millrace" token --key "$RUN_DIR/demo-key.json" --kid demo --site "$(setting node site)" \
        --type "$1" --subject "$2" --expires "$TOKEN_SECONDS"
}

# The key lasts as long as the folder, so that a page that is open outlives a restart.
prepare_key() {
    [ -s "$RUN_DIR/demo-key.json" ] ||
        "$BUILD_DIR/cli/millrace" keys new --alg HS256 --kid demo --out "$RUN_DIR/demo-key.json"
}

# The settings of the processes: those of the user, and with the page the demo's key for the default
# site, unless that site has settings of its own.
write_node_settings() {
    local site
    site=$(setting node site)
    [ -z "$CONFIG" ] || say "include = $CONFIG"
    [ "$HAS_PAGE" = yes ] || return 0
    grep -qxF "[site \"$site\"]" "$RUN_DIR/settings.ini" && return 0
    prepare_key || return 1
    printf '[site "%s"]\nkeys = demo-key.json\n' "$site"
    HAS_TOKENS=yes
}

# What the page has to know.
write_page_config() {
    local number names="" tokens="{}" permissions=false endpoint flags=""
    endpoint=$(setting broker backends)
    [ "$endpoint" = tcp://127.0.0.1:7402 ] || flags=" --endpoint $endpoint" # the command's default
    for ((number = 1; number <= GATEWAYS; number++)); do
        names+=${names:+,}$(json "$(gateway_name "$number")")
    done
    if [ "$HAS_TOKENS" = yes ]; then
        tokens=$(printf '{"visitor":"%s","member":"%s","admin":"%s"}' \
            "$(token VISITOR guest-1)" "$(token MEMBER mia)" "$(token ADMIN ada)")
    fi
    [ "$HAS_PERMISSIONS" != yes ] || permissions=true
    printf '{"gateways":[%s],"tokens":%s,"permissions":%s,"endpoint":%s,"publish":%s,"flags":%s}\n' "$names" "$tokens" \
        "$permissions" "$(json "$endpoint")" "$(json "$BUILD_DIR/cli/millrace publish")" "$(json "$flags")"
}

# The files, and the script bundled with the client package.
prepare_page() {
    local page=$RUN_DIR/page
    mkdir -p "$page"
    install_node
    install_npm
    cp demo/index.html demo/style.css demo/icon.svg "$page"
    node_modules/.bin/esbuild demo/page.js --bundle --minify --format=esm --target=es2022 \
        --log-level=warning --outfile="$page/page.js"
    write_page_config >"$page/config.json"
}

# --- processes ---

CHILDREN=()                          # broker, permissions, gateway-1 ... in the order of their start
GATEWAY_NAMES=()                     # those of them that are gateways
declare -A PID=()                    # empty: it is to be started again
declare -A BORN=() DUE=() PAUSE=()   # ms
declare -A ASKED=()                  # its end was asked for
REVOKED=0                            # ms: the last revoke

now_ms() { REPLY=$((${EPOCHREALTIME/[.,]/} / 1000)); }

gateway_name() { say "$(setting gateway name)-$1"; }

# The environment of a gateway, on top of its settings, one NAME=VALUE a line.
gateway_environment() {
    say "MILLRACE_GATEWAY_NAME=$(gateway_name "$1")"
    say "MILLRACE_GATEWAY_ADMIN_PORT=$(gateway_admin_port "$1")"
    [ "$GATEWAYS" = 1 ] || say "MILLRACE_GATEWAY_REUSE_PORT=yes"
    [ "$HAS_PAGE" = yes ] || return 0
    say "MILLRACE_GATEWAY_DEMO=yes"
    say "MILLRACE_GATEWAY_DEMO_ROOT=$RUN_DIR/page"
    say "MILLRACE_GATEWAY_DEMO_CONTROL=$RUN_DIR/control"
}

# Becomes the process that is called NAME.
become() {
    local environment=() program=broker/millrace-broker
    case $1 in
    permissions) MILLRACE_BACKENDS=$(setting broker backends) exec node demo/permissions.mjs <"$RUN_DIR/permissions.in" ;;
    broker) ;;
    *)
        program=gateway/millrace-gateway
        mapfile -t environment < <(gateway_environment "${1##*-}")
        ;;
    esac
    exec env "${environment[@]}" "$BUILD_DIR/$program" --config "$RUN_DIR/node.ini"
}

# start NAME: in the background, its log in $RUN_DIR/NAME.log
start() {
    become "$1" 2>>"$RUN_DIR/$1.log" {CONTROL}>&- {PERMISSIONS}>&- &
    PID[$1]=$!
    now_ms && BORN[$1]=$REPLY
}

is_alive() { [ -n "${PID[$1]:-}" ] && kill -0 "${PID[$1]}" 2>/dev/null; }

# any_alive NAME...
any_alive() {
    local name
    for name; do is_alive "$name" && return 0; done
    return 1
}

# signal_all SIGNAL NAME...
signal_all() {
    local name
    for name in "${@:2}"; do
        ! is_alive "$name" || kill "-$1" "${PID[$name]}" 2>/dev/null || true
    done
}

# end_all MS NAME...: asks them to end; true when all have within this time
end_all() {
    local tenths
    signal_all TERM "${@:2}"
    for ((tenths = 0; tenths < $1 / 100; tenths++)); do
        any_alive "${@:2}" || return 0
        sleep 0.1
    done
    ! any_alive "${@:2}"
}

# The demo's backend takes its handler off the broker, which has to be there; and since without a
# handler everybody may read, the gateways are gone by then. Asking them twice cuts their drain short.
stop_all() {
    trap '' INT TERM HUP
    end_all "$DRAIN_MS" "${GATEWAY_NAMES[@]}" || end_all "$END_MS" "${GATEWAY_NAMES[@]}" || true
    end_all "$CLOSE_MS" permissions || true
    end_all "$END_MS" broker && ! any_alive "${CHILDREN[@]}" && return 0
    say "some processes do not end; killing them"
    signal_all KILL "${CHILDREN[@]}"
}

has_terminal() { { : </dev/tty; } 2>/dev/null; }
HAD_TERMINAL=no

# SIGHUP: the processes read their settings again, when these have no error. But when it comes because
# the terminal is gone, nobody would ever stop us.
hang_up() {
    local errors
    if [ "$HAD_TERMINAL" = yes ] && ! has_terminal; then
        exec >/dev/null 2>&1
        stop_all
        exit 0
    fi
    if errors=$("$BUILD_DIR/cli/millrace" check-config "$RUN_DIR/node.ini" 2>&1 >/dev/null); then
        say "reading the settings again; the logs say what changes"
        signal_all HUP broker "${GATEWAY_NAMES[@]}"
    else
        say "the settings are wrong, and stay as they were: $errors"
    fi
}

last_words() { tail -n 1 "$RUN_DIR/$1.log"; }

# green ADDRESS PORT: is what its /readyz says; so is a process that has no such port.
green() { [ "$2" = 0 ] || curl -fsS -o /dev/null "http://$1:$2/readyz"; }

# has_registered: the demo's backend, whose log says so
has_registered() { grep -q '"event":"registered"' "$RUN_DIR/permissions.log"; }

# wait_ready NAME COMMAND...: until the command succeeds; a process that ends before ends all.
wait_ready() {
    local until
    now_ms && until=$((REPLY + PATIENCE_MS))
    until "${@:2}" 2>/dev/null; do
        if ! is_alive "$1"; then
            stop_all
            die "the $1 ended: $(last_words "$1")"
        fi
        now_ms
        if [ "$REPLY" -ge "$until" ]; then
            stop_all
            die "the $1 is not ready after $((PATIENCE_MS / 1000)) seconds: $("${@:2}" 2>&1 || last_words "$1")"
        fi
        sleep 0.1
    done
}

# The handler is there before the gateways: until then everybody may read.
start_all() {
    local number name
    for name in "${CHILDREN[@]}"; do
        : >"$RUN_DIR/$name.log"
        PAUSE[$name]=$RESTART_MS
    done
    start broker
    wait_ready broker green "$(setting broker admin_address)" "$(setting broker admin_port)"
    if [ "$HAS_PERMISSIONS" = yes ]; then
        start permissions
        wait_ready permissions has_registered
    fi
    for name in "${GATEWAY_NAMES[@]}"; do start "$name"; done
    for ((number = 1; number <= GATEWAYS; number++)); do
        wait_ready "${GATEWAY_NAMES[number - 1]}" green "$(setting gateway admin_address)" "$(gateway_admin_port "$number")"
    done
}

# --- the supervisor ---

# ended NAME STATUS: says so, and when it comes back
ended() {
    local name=$1 how="status $2" pause
    if [ "$2" -gt 128 ]; then
        how="SIG$(kill -l "$2")"
    elif [ "$2" != 0 ]; then
        how+=": $(last_words "$name")"
    fi
    now_ms
    [ $((REPLY - BORN[$name])) -lt "$PROVEN_MS" ] && [ -z "${ASKED[$name]:-}" ] || PAUSE[$name]=$RESTART_MS
    pause=${PAUSE[$name]}
    DUE[$name]=$((REPLY + pause)) PAUSE[$name]=$((pause * 2 > RESTART_MAX_MS ? RESTART_MAX_MS : pause * 2))
    PID[$name]="" ASKED[$name]=""
    say "$name ended ($how); starting it again in $((pause / 1000)) s"
}

look_after() {
    local name=$1 status=0
    if [ -z "${PID[$name]}" ]; then
        now_ms
        [ "$REPLY" -lt "${DUE[$name]}" ] || start "$name"
    elif ! is_alive "$name"; then
        wait "${PID[$name]}" || status=$?
        ended "$name" "$status"
    fi
}

# obey LINE: what the demo page asks for, by a gateway. Only "revoke", or "kill" and one of our gateways.
obey() {
    local name
    [ "$1" != revoke ] || take_right_back
    for name in "${GATEWAY_NAMES[@]}"; do
        if [ "$1" != "kill $name" ] || ! is_alive "$name"; then continue; fi
        say "killing $name, as the demo page asks"
        ASKED[$name]=yes
        kill -KILL "${PID[$name]}" 2>/dev/null || true
        return 0
    done
}

# The demo's backend does it. One that is away is not asked later; and it is never asked faster than it
# reads, since a full FIFO would stop us here.
take_right_back() {
    now_ms
    is_alive permissions && [ $((REPLY - REVOKED)) -ge "$REVOKE_MS" ] || return 0
    REVOKED=$REPLY
    say "taking the members' right back, as the demo page asks"
    say revoke >&"$PERMISSIONS"
}

# Until a signal. bash's own words on processes that were killed are left out. The time of a read may
# be over in the middle of a line: the rest comes with the next one.
supervise() {
    local name line part=""
    while :; do
        line=""
        if read -r -t 0.2 line <&"$CONTROL"; then
            obey "$part$line"
            part=""
        else
            part+=$line
        fi
        for name in "${CHILDREN[@]}"; do look_after "$name"; done
    done 2>/dev/null
}

# The FIFOs are open for reading and writing here, so that they have a reader and never an end.
open_fifos() {
    rm -f "$RUN_DIR/control" "$RUN_DIR/permissions.in"
    mkfifo -m 600 "$RUN_DIR/control" "$RUN_DIR/permissions.in"
    exec {CONTROL}<>"$RUN_DIR/control" {PERMISSIONS}<>"$RUN_DIR/permissions.in"
}

# --- the command ---

what_runs() {
    if [ "$GATEWAYS" = 1 ]; then say "a broker and a gateway"; else say "a broker and $GATEWAYS gateways"; fi
}

greet() {
    local address url endpoint flags="${CONFIG:+ --config $CONFIG}"
    address=$(setting gateway listen_address) endpoint=$(setting broker backends)
    case $address in *:*) address="[$address]" ;; esac
    address+=:$(setting gateway listen_port)
    url="ws://$address/connection/websocket"
    say ""
    say "Millrace runs: $(what_runs). Clients connect to"
    say ""
    say "    $url"
    [ "$HAS_PAGE" != yes ] || printf '\nSee it work, on the demo page:\n\n    http://%s/\n' "$address"
    cat <<TEXT

To see a message arrive, paste into a second terminal:

    $BUILD_DIR/cli/millrace subscribe chat$flags

and into a third one:

    $BUILD_DIR/cli/millrace publish chat '{"text":"hello"}'$flags

or, as a backend does it, in Python:

/usr/bin/python3 - <<'PYTHON'
import zmq, msgpack
broker = zmq.Context().socket(zmq.REQ)
broker.connect("$endpoint")
broker.send(msgpack.packb({"op": "publish", "id": 1, "channel": "chat", "payload": {"text": "hello from Python"}}))
print(msgpack.unpackb(broker.recv()))
PYTHON

Logs: $RUN_DIR/*.log. Ctrl-C stops all processes.
TEXT
}

read_run_arguments() {
    CONFIG="" GATEWAYS=1
    while [ $# -gt 0 ]; do
        case $1 in
        --config | --gateways) [ $# -ge 2 ] || die "$1 needs a value" ;;
        esac
        case $1 in
        --config) CONFIG=$2 && shift 2 ;;
        --config=*) CONFIG=${1#*=} && shift ;;
        --gateways) GATEWAYS=$2 && shift 2 ;;
        --gateways=*) GATEWAYS=${1#*=} && shift ;;
        *) die "run: '$1' is no option of it; there are --config FILE and --gateways N" ;;
        esac
    done
    [[ $GATEWAYS =~ ^[1-9][0-9]?$ ]] || die "--gateways: '$GATEWAYS' is no number from 1 to 99"
    case $CONFIG in "" | /*) ;; *) CONFIG=$FROM/$CONFIG ;; esac
}

run() {
    local number
    read_run_arguments "$@"
    build cli/millrace broker/millrace-broker gateway/millrace-gateway
    mkdir -p "$RUN_DIR"
    "$BUILD_DIR/cli/millrace" check-config ${CONFIG:+"$CONFIG"} >"$RUN_DIR/settings.ini" || exit $?
    refuse_taken_ports
    [ "$GATEWAYS" = 1 ] || [ "$(setting gateway listen_port)" != 0 ] ||
        die "several gateways need one port to share: set [gateway] listen_port"
    HAS_TOKENS=no HAS_PAGE=no HAS_PERMISSIONS=no
    if is_loopback "$(setting gateway listen_address)"; then HAS_PAGE=yes; fi
    if [ "$HAS_PAGE" = yes ] && [ -n "$(setting broker backends)" ]; then HAS_PERMISSIONS=yes; fi
    write_node_settings >"$RUN_DIR/node.ini"
    if [ "$HAS_PAGE" = yes ]; then prepare_page; fi
    open_fifos
    for ((number = 1; number <= GATEWAYS; number++)); do GATEWAY_NAMES+=("$(gateway_name "$number")"); done
    CHILDREN=(broker)
    if [ "$HAS_PERMISSIONS" = yes ]; then CHILDREN+=(permissions); fi
    CHILDREN+=("${GATEWAY_NAMES[@]}")
    step "starting $(what_runs)"
    trap 'say ""; say "stopping"; stop_all; exit 0' INT TERM
    if has_terminal; then HAD_TERMINAL=yes; fi
    trap hang_up HUP
    start_all
    greet
    supervise
}
