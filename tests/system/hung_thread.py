"""Stops one thread of a process, as a disk does that hangs: hung_thread.py PID main|writer. Says "stopped"; the
thread goes on when standard input ends. Says "forbidden" where the system does not let us."""
import ctypes
import os
import sys
import threading

PTRACE_CONT, PTRACE_SEIZE, PTRACE_INTERRUPT = 7, 0x4206, 0x4207
WALL = 0x40000000

process, which = int(sys.argv[1]), sys.argv[2]
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def named(thread):
    with open(f"/proc/{process}/task/{thread}/comm") as file:
        return file.read().strip()


def find():
    """ZeroMQ names its threads; the one that writes to the store has the name of the process."""
    threads = sorted(int(name) for name in os.listdir(f"/proc/{process}/task"))
    others = [thread for thread in threads if thread != process and named(thread) == named(process)]
    return process if which == "main" else others[0]


thread = find()
if libc.ptrace(PTRACE_SEIZE, thread, None, None) != 0:
    print("forbidden", flush=True)
    sys.exit()
libc.ptrace(PTRACE_INTERRUPT, thread, None, None)
os.waitpid(thread, WALL)
print("stopped", flush=True)


def release():
    sys.stdin.read()
    os._exit(0)


# One that ends meanwhile is not gone before somebody has asked how.
threading.Thread(target=release, daemon=True).start()
try:
    while True:
        _, status = os.waitpid(thread, WALL)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            break
except ChildProcessError:
    pass
