"""The part of wasmtime's C API that the wasm harness needs: one engine, one module, fresh instances.

The package's Python bindings take a quarter of a second to import and twice the memory, so this calls the
library directly. Struct layouts are those of the wasmtime version that the server's package pins;
`Engine.__init__` runs a module, so that a wrong layout fails at boot.
"""

import ctypes
import os
from collections.abc import Callable
from ctypes import POINTER, byref, c_bool, c_char_p, c_int, c_int64, c_size_t, c_uint8, c_uint64, c_void_p
from typing import Any

Sink = Callable[[bytes], None]

WASM_MAGIC = b"\0asm"
UNREACHABLE = 9
INTERRUPT = 10
OUT_OF_FUEL = 11
STACK_BYTES = 1024 * 1024
TABLE_ELEMENTS = 1_000_000
TABLES = 16
TRIAL = b"""(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "\\08\\00\\00\\00\\02\\00\\00\\00{}")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
    (call $exit (i32.const 7))))"""
"""A module that writes an empty JSON object and exits with status 7."""
_FUNCTION, _MEMORY = 0, 3
_WRITE = ctypes.CFUNCTYPE(ctypes.c_ssize_t, c_void_p, POINTER(c_uint8), c_size_t)
_FINALIZE = ctypes.CFUNCTYPE(None, c_void_p)


class ByteVec(ctypes.Structure):
    """wasm_byte_vec_t."""

    _fields_ = (("size", c_size_t), ("data", c_void_p))


class Item(ctypes.Structure):
    """wasmtime_func_t or wasmtime_memory_t; large enough for any other item."""

    _fields_ = (("store", c_uint64), ("rest", c_uint64 * 3))


class Extern(ctypes.Structure):
    """wasmtime_extern_t."""

    _fields_ = (("kind", c_uint8), ("item", Item))


FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "wasm_byte_vec_new": (None, [POINTER(ByteVec), c_size_t, c_char_p]),
    "wasm_byte_vec_delete": (None, [POINTER(ByteVec)]),
    "wasm_config_new": (c_void_p, []),
    "wasm_engine_new_with_config": (c_void_p, [c_void_p]),
    "wasm_trap_delete": (None, [c_void_p]),
    "wasm_trap_message": (None, [c_void_p, POINTER(ByteVec)]),
    "wasi_config_new": (c_void_p, []),
    "wasi_config_preopen_dir": (c_bool, [c_void_p, c_char_p, c_char_p, c_bool]),
    "wasi_config_set_argv": (c_bool, [c_void_p, c_size_t, POINTER(c_char_p)]),
    "wasi_config_set_env": (c_bool, [c_void_p, c_size_t, POINTER(c_char_p), POINTER(c_char_p)]),
    "wasi_config_set_stderr_custom": (None, [c_void_p, _WRITE, c_void_p, _FINALIZE]),
    "wasi_config_set_stdin_bytes": (None, [c_void_p, POINTER(ByteVec)]),
    "wasi_config_set_stdout_custom": (None, [c_void_p, _WRITE, c_void_p, _FINALIZE]),
    "wasmtime_config_consume_fuel_set": (None, [c_void_p, c_bool]),
    "wasmtime_config_epoch_interruption_set": (None, [c_void_p, c_bool]),
    "wasmtime_config_max_wasm_stack_set": (None, [c_void_p, c_size_t]),
    "wasmtime_context_set_epoch_deadline": (None, [c_void_p, c_uint64]),
    "wasmtime_context_set_fuel": (c_void_p, [c_void_p, c_uint64]),
    "wasmtime_context_set_wasi": (c_void_p, [c_void_p, c_void_p]),
    "wasmtime_engine_increment_epoch": (None, [c_void_p]),
    "wasmtime_error_delete": (None, [c_void_p]),
    "wasmtime_error_exit_status": (c_bool, [c_void_p, POINTER(c_int)]),
    "wasmtime_error_message": (None, [c_void_p, POINTER(ByteVec)]),
    "wasmtime_func_call": (
        c_void_p,
        [c_void_p, POINTER(Item), c_void_p, c_size_t, c_void_p, c_size_t, POINTER(c_void_p)],
    ),
    "wasmtime_instance_export_get": (
        c_bool,
        [c_void_p, POINTER(Item), c_char_p, c_size_t, POINTER(Extern)],
    ),
    "wasmtime_instance_pre_instantiate": (c_void_p, [c_void_p, c_void_p, POINTER(Item), POINTER(c_void_p)]),
    "wasmtime_linker_define_wasi": (c_void_p, [c_void_p]),
    "wasmtime_linker_instantiate_pre": (c_void_p, [c_void_p, c_void_p, POINTER(c_void_p)]),
    "wasmtime_linker_new": (c_void_p, [c_void_p]),
    "wasmtime_memory_data_size": (c_size_t, [c_void_p, POINTER(Item)]),
    "wasmtime_module_deserialize_file": (c_void_p, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "wasmtime_module_new": (c_void_p, [c_void_p, c_char_p, c_size_t, POINTER(c_void_p)]),
    "wasmtime_module_serialize": (c_void_p, [c_void_p, POINTER(ByteVec)]),
    "wasmtime_store_context": (c_void_p, [c_void_p]),
    "wasmtime_store_delete": (None, [c_void_p]),
    "wasmtime_store_limiter": (None, [c_void_p, c_int64, c_int64, c_int64, c_int64, c_int64]),
    "wasmtime_store_new": (c_void_p, [c_void_p, c_void_p, c_void_p]),
    "wasmtime_trap_code": (c_bool, [c_void_p, POINTER(c_uint8)]),
    "wasmtime_wat2wasm": (c_void_p, [c_char_p, c_size_t, POINTER(ByteVec)]),
}


class WasmError(Exception):
    """An error of wasmtime, or the failure of a module."""

    def __init__(self, message: str, *, status: int | None = None, trap: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        """The argument of its call of proc_exit."""
        self.trap = trap
        """Wasmtime's number of the trap; -1 for a trap without a number."""


class ModuleCall:
    """What one run of a module receives, how large its memory became, and whether it started."""

    def __init__(self, *, name: str, env: dict[str, str], stdin: bytes, memory_bytes: int) -> None:
        self.name = name
        self.env = env
        self.stdin = stdin
        self.limit_bytes = memory_bytes
        self.memory_bytes = 0
        self.started = False
        self.folders: list[tuple[str, str, bool]] = []
        """Folder of the sandbox, its name for the module, whether it is writable."""


class Engine:
    """Compiles modules and runs them as WASI commands; another thread may interrupt it."""

    def __init__(self, path: str, *, fuel: int, stdout: Sink, stderr: Sink) -> None:
        self._library: Any = ctypes.CDLL(path)
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
        self._fuel = fuel
        self._write_out, self._write_err = _WRITE(writer(stdout)), _WRITE(writer(stderr))
        lib = self._library
        config = lib.wasm_config_new()
        lib.wasmtime_config_epoch_interruption_set(config, True)  # noqa: FBT003
        lib.wasmtime_config_consume_fuel_set(config, fuel > 0)
        lib.wasmtime_config_max_wasm_stack_set(config, STACK_BYTES)
        self._engine = lib.wasm_engine_new_with_config(config)
        self._linker = lib.wasmtime_linker_new(self._engine)
        self._check(lib.wasmtime_linker_define_wasi(self._linker))
        self._try()

    def _try(self) -> None:
        call = ModuleCall(name="trial", env={"A": "b"}, stdin=b"{}", memory_bytes=1 << 20)
        ready = self.prepare(self.compile(self.assemble(TRIAL)))
        try:
            self.run(ready, call)
        except WasmError as error:
            if error.status == 7 and call.memory_bytes == 1 << 16:  # noqa: PLR2004  as TRIAL does
                return
            raise
        raise WasmError("this wasmtime does not work as expected")

    def assemble(self, text: bytes) -> bytes:
        """Return the binary module of WAT text."""
        found = ByteVec()
        self._check(self._library.wasmtime_wat2wasm(text, len(text), byref(found)))
        return self._take(found)

    def compile(self, module: bytes) -> int:
        """Compile a module to machine code."""
        compiled = c_void_p()
        error = self._library.wasmtime_module_new(self._engine, module, len(module), byref(compiled))
        self._check(error)
        return compiled.value or 0

    def save(self, compiled: int, fd: int) -> None:
        """Write a compiled module to a file."""
        found = ByteVec()
        self._check(self._library.wasmtime_module_serialize(compiled, byref(found)))
        try:
            view = memoryview((c_uint8 * found.size).from_address(found.data or 0))
            while view:
                view = view[os.write(fd, view) :]
        finally:
            self._library.wasm_byte_vec_delete(byref(found))

    def load(self, path: str) -> int:
        """Load a compiled module. The content of the file is trusted and run."""
        compiled = c_void_p()
        error = self._library.wasmtime_module_deserialize_file(self._engine, path.encode(), byref(compiled))
        self._check(error)
        return compiled.value or 0

    def prepare(self, compiled: int) -> int:
        """Link a module; WasmError if it has an import that WASI preview 1 does not provide."""
        ready = c_void_p()
        error = self._library.wasmtime_linker_instantiate_pre(self._linker, compiled, byref(ready))
        self._check(error)
        return ready.value or 0

    def interrupt(self) -> None:
        """Interrupt the running module soon; safe to call from any thread."""
        self._library.wasmtime_engine_increment_epoch(self._engine)

    def run(self, ready: int, call: ModuleCall) -> None:
        """Run a module once, in its own memory; WasmError if it fails.

        A module that calls proc_exit raises a WasmError with its status, 0 for success.
        """
        lib = self._library
        store = lib.wasmtime_store_new(self._engine, None, None)
        try:
            lib.wasmtime_store_limiter(store, call.limit_bytes, TABLE_ELEMENTS, 1, TABLES, 1)
            context = lib.wasmtime_store_context(store)
            lib.wasmtime_context_set_epoch_deadline(context, 1)
            if self._fuel:
                self._check(lib.wasmtime_context_set_fuel(context, self._fuel))
            self._check(lib.wasmtime_context_set_wasi(context, self._wasi(call)))
            instance, trap = Item(), c_void_p()
            error = lib.wasmtime_instance_pre_instantiate(ready, context, byref(instance), byref(trap))
            self._check(error, trap)
            try:
                self._start(context, instance, call)
            finally:
                memory = self._export(context, instance, b"memory", _MEMORY)
                if memory is not None:
                    call.memory_bytes = lib.wasmtime_memory_data_size(context, byref(memory))
        finally:
            lib.wasmtime_store_delete(store)

    def _start(self, context: int, instance: Item, call: ModuleCall) -> None:
        start = self._export(context, instance, b"_start", _FUNCTION)
        if start is None:
            raise WasmError("The module exports no function _start: it is no WASI command")
        trap = c_void_p()
        call.started = True
        error = self._library.wasmtime_func_call(context, byref(start), None, 0, None, 0, byref(trap))
        self._check(error, trap)

    def _export(self, context: int, instance: Item, name: bytes, kind: int) -> Item | None:
        found = Extern()
        get = self._library.wasmtime_instance_export_get
        there = get(context, byref(instance), name, len(name), byref(found))
        item: Item = found.item
        return item if there and found.kind == kind else None

    def _wasi(self, call: ModuleCall) -> int:
        lib = self._library
        wasi: int = lib.wasi_config_new()
        lib.wasi_config_set_argv(wasi, 1, texts([call.name]))
        lib.wasi_config_set_env(wasi, len(call.env), texts(call.env.keys()), texts(call.env.values()))
        stdin = ByteVec()
        lib.wasm_byte_vec_new(byref(stdin), len(call.stdin), call.stdin)
        lib.wasi_config_set_stdin_bytes(wasi, byref(stdin))
        lib.wasi_config_set_stdout_custom(wasi, self._write_out, None, _FINALIZE())
        lib.wasi_config_set_stderr_custom(wasi, self._write_err, None, _FINALIZE())
        for path, inside, mutable in call.folders:
            if not lib.wasi_config_preopen_dir(wasi, path.encode(), inside.encode(), mutable):
                raise WasmError(f"The folder {inside} cannot be opened")
        return wasi

    def _check(self, error: int | None, trap: c_void_p | None = None) -> None:
        """Raise the error or trap of a call, if it failed."""
        lib = self._library
        text = ByteVec()
        if error:
            status = c_int()
            exited = lib.wasmtime_error_exit_status(error, byref(status))
            lib.wasmtime_error_message(error, byref(text))
            lib.wasmtime_error_delete(error)
            raise WasmError(self._text(text), status=status.value if exited else None)
        if trap is not None and trap.value:
            code = c_uint8()
            known = lib.wasmtime_trap_code(trap, byref(code))
            lib.wasm_trap_message(trap, byref(text))
            lib.wasm_trap_delete(trap)
            raise WasmError(self._text(text), trap=code.value if known else -1)

    def _text(self, found: ByteVec) -> str:
        return self._take(found).rstrip(b"\0").decode("utf-8", "replace")

    def _take(self, found: ByteVec) -> bytes:
        content = ctypes.string_at(found.data or 0, found.size) if found.size else b""
        self._library.wasm_byte_vec_delete(byref(found))
        return content


def writer(sink: Sink) -> Callable[[Any, Any, int], int]:
    """Return the function that wasmtime calls with what a module writes."""

    def write(_data: Any, content: Any, size: int) -> int:
        sink(ctypes.string_at(content, size))
        return size

    return write


def texts(values: Any) -> Any:
    """Return an array of C strings."""
    encoded = [value.encode("utf-8", "replace") for value in values]
    return (c_char_p * len(encoded))(*encoded)
