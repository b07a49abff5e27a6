"""Runs a command on a terminal of its own and types what is asked for: PROMPT ANSWER ... -- COMMAND ..., and prints what
the terminal showed."""

import os
import pty
import sys

end = sys.argv.index("--")
asked, command = sys.argv[1:end], sys.argv[end + 1 :]
child, terminal = pty.fork()
if child == 0:
    os.execv(command[0], command)
shown = b""
for prompt, answer in zip(asked[::2], asked[1::2]):
    seen = len(shown)
    while prompt.encode() not in shown[seen:]:
        shown += os.read(terminal, 1024)
    os.write(terminal, answer.encode() + b"\n")
while True:
    try:
        read = os.read(terminal, 1024)
    except OSError:
        break
    if not read:
        break
    shown += read
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
