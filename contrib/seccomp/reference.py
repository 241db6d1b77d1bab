#!/usr/bin/env python3
"""Compiles an OCI seccomp object (JSON on stdin) with libseccomp, the way crun does: the BPF goes to stdout,
names that this libseccomp does not know to stderr. rpod's own compiler is tested against it."""

import ctypes
import json
import os
import sys

ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
OPERATORS = ["", "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]
ARCHITECTURES = {"X86": 0x40000003, "X86_64": 0xC000003E, "X32": 0x4000003E, "ARM": 0x40000028, "AARCH64": 0xC00000B7}


class Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def value(action, errno):
    base = ACTIONS[action]
    return base | (1 if errno is None else errno) if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") else base


def main():
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        sys.exit(f"no libseccomp: {error}")
    library.seccomp_init.restype = ctypes.c_void_p
    profile = json.load(sys.stdin)
    default = value(profile["defaultAction"], profile.get("defaultErrnoRet"))
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))
    wanted = [ARCHITECTURES[name.removeprefix("SCMP_ARCH_")] for name in profile.get("architectures") or []]
    for arch in wanted:
        library.seccomp_arch_add(context, ctypes.c_uint32(arch))
    native = library.seccomp_arch_native() & 0xFFFFFFFF
    if wanted and native not in wanted:
        library.seccomp_arch_remove(context, ctypes.c_uint32(native))
    for rule in profile["syscalls"]:
        action = value(rule["action"], rule.get("errnoRet"))
        if action == default:
            continue
        conditions = rule.get("args") or []
        array = (Comparison * max(1, len(conditions)))()
        for index, c in enumerate(conditions):
            operator = OPERATORS.index(c["op"].removeprefix("SCMP_CMP_"))
            array[index] = Comparison(c["index"], operator, c["value"], c.get("valueTwo") or 0)
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number == -1:
                print(name, file=sys.stderr)
                continue
            library.seccomp_rule_add_array(context, ctypes.c_uint32(action), number, len(conditions), array)
    sys.stdout.flush()
    if library.seccomp_export_bpf(context, sys.stdout.fileno()) != 0:
        sys.exit("seccomp_export_bpf failed")


if __name__ == "__main__":
    main()
