# Usage: deny.py NUMBER ERRNO COMMAND...: starts the command with one system call made to fail.
import ctypes
import os
import struct
import sys

number, errno = int(sys.argv[1]), int(sys.argv[2])
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
program = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (LOAD, 0, 0, 0),  # seccomp_data.nr
        (EQUAL, 0, 1, number),
        (RETURN, 0, 0, FAIL | errno),
        (RETURN, 0, 0, ALLOW),
    )
)
code = ctypes.create_string_buffer(program, len(program))
described = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
SET_SECCOMP, MODE_FILTER = 22, 2
if ctypes.CDLL(None, use_errno=True).prctl(SET_SECCOMP, MODE_FILTER, described, 0, 0):
    raise OSError(ctypes.get_errno(), "no filter could be installed")
os.execv(sys.argv[3], sys.argv[3:])
