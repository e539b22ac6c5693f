;; A worker: the input is JSON on stdin, the output JSON on stdout, the log what is written to stderr.
;; This one is WebAssembly as text, which needs no compiler. From C it would be, for example:
;;   zig cc -target wasm32-wasi -Oz -s -o main.wasm main.c     and entrypoint = "main.wasm"
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 16) "{\"text\": \"Hello!\", \"input\": ")
  (data (i32.const 64) "}")
  (data (i32.const 80) "echoing the input\0a")

  ;; write `size` bytes at `at` to a file descriptor, through the vector at 0
  (func $put (param $fd i32) (param $at i32) (param $size i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $size))
    (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))

  (func (export "_start")
    (call $put (i32.const 2) (i32.const 80) (i32.const 18))
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 65536))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 12)))
    (call $put (i32.const 1) (i32.const 16) (i32.const 28))
    (call $put (i32.const 1) (i32.const 1024) (i32.load (i32.const 12)))
    (call $put (i32.const 1) (i32.const 64) (i32.const 1))))
