'use strict'
// Runs node handlers inside a sandbox: `node_harness.cjs FD UID FOLDER`.
//
// Uses the protocol of runtimes/protocol.py on the inherited socket FD. Between jobs it blocks in a
// synchronous read, so that no timer of the previous job runs; during a job the event loop belongs to
// user code. Frames are written synchronously, in the order of the calls that cause them.

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const util = require('node:util')
const vm = require('node:vm')
const { Console } = require('node:console')
const { Module } = require('node:module')
const { Writable } = require('node:stream')
const { pathToFileURL } = require('node:url')

const LOAD = 1, RUN = 2, PART = 3, RECORD = 23, READY = 16, BEGAN = 17, LOG = 18, DROPPED = 19, RESULT = 20, ERROR = 21
const RAW_PENDING = 1, WORN = 2
const INFO = 0, WARN = 1, ERR = 2
const LENGTHS_BYTES = 8
const HEADER_BYTES = 16
const CHUNK_BYTES = 60 * 1024
const MESSAGE_BYTES = 128 * 1024
const OUTPUT_BYTES = 1024 * 1024
const LINE_CHARS = 16 * 1024
const LOG_LINES = 10000
const LOG_BYTES = 4 * 1024 * 1024
const MESSAGE_CHARS = 4096
const STACK_CHARS = 32 * 1024
const LOST = 70
const ESM_SYNTAX = /import statement outside a module|Unexpected token 'export'|import\.meta|await is only valid/

// Stack frames of no interest to the author of the handler.
const internalFrame = new RegExp(`^ +at .*(${__filename.replace(/[.]/g, '[.]')}|node:internal/modules/)`)

// Taken now, because user code may replace them.
const { readSync, writeSync } = fs
const { parse, stringify } = JSON
const exit = process.reallyExit.bind(process)
const now = process.hrtime.bigint
const nothing = Buffer.alloc(0)

// Interfaces are listed through netlink sockets, which a sandbox cannot open; programs expect an answer.
const { networkInterfaces } = os
os.networkInterfaces = () => {
  try {
    return networkInterfaces()
  } catch {
    const lo = { address: '127.0.0.1', netmask: '255.0.0.0', family: 'IPv4', mac: '00:00:00:00:00:00', internal: true }
    return { lo: [{ ...lo, cidr: '127.0.0.1/8' }] }
  }
}
Module.syncBuiltinESMExports()

class JobFailure {
  constructor (code, message, stack) {
    this.fields = { code, message: String(message).slice(0, MESSAGE_CHARS) }
    if (stack) this.fields.stack = String(stack).slice(0, STACK_CHARS)
  }
}

class Wire {
  constructor (fd) {
    this.fd = fd
    this.buffer = Buffer.alloc(MESSAGE_BYTES)
  }

  send (kind, payload, assignmentId = 0n, flags = 0, micros = 0) {
    const message = Buffer.allocUnsafe(HEADER_BYTES + payload.length)
    message[0] = kind
    message[1] = flags
    message.writeUInt16LE(micros, 2)
    message.writeUInt32LE(payload.length, 4)
    message.writeBigUInt64LE(assignmentId, 8)
    message.set(payload, HEADER_BYTES)
    try {
      writeSync(this.fd, message)
    } catch {
      exit(LOST) // the executor is gone
    }
  }

  end (kind, payload, assignmentId, flags, micros) {
    while (payload.length > CHUNK_BYTES) {
      this.send(PART, payload.subarray(0, CHUNK_BYTES), assignmentId)
      payload = payload.subarray(CHUNK_BYTES)
    }
    this.send(kind, payload, assignmentId, flags, micros)
  }

  // Returns one message as it is.
  receive () {
    let size = 0
    try {
      size = readSync(this.fd, this.buffer, 0, MESSAGE_BYTES, null)
    } catch {
      exit(LOST)
    }
    if (size === 0) exit(0)
    const assignmentId = this.buffer.readBigUInt64LE(8)
    return { kind: this.buffer[0], assignmentId, payload: this.buffer.subarray(HEADER_BYTES, size) }
  }

  // Returns the next LOAD or RUN, without answers to jobs that have ended.
  next () {
    const parts = []
    for (;;) {
      const { kind, assignmentId, payload } = this.receive()
      if (kind === PART) parts.push(Buffer.from(payload))
      if (kind !== LOAD && kind !== RUN) continue
      return { kind, assignmentId, payload: parts.length ? Buffer.concat([...parts, payload]) : payload }
    }
  }
}

class LogWriter {
  constructor (wire) {
    this.wire = wire
    this.assignmentId = null
    this.lines = this.bytes = this.dropped = this.reported = 0
  }

  begin (assignmentId) {
    this.lines = this.bytes = this.dropped = this.reported = 0
    this.assignmentId = assignmentId
  }

  end () {
    this.report()
    this.assignmentId = null
  }

  // Counts a dropped line, and reports it occasionally, because the job may be killed before its end.
  drop () {
    this.dropped++
    if (this.dropped >= 2 * this.reported) this.report()
  }

  report () {
    if (this.dropped === this.reported || this.assignmentId === null) return
    const count = Buffer.alloc(4)
    count.writeUInt32LE(Math.min(this.dropped - this.reported, 0xffffffff))
    this.reported = this.dropped
    this.wire.send(DROPPED, count, this.assignmentId)
  }

  write (level, text) {
    let batch = []
    let size = 0
    for (const line of text.split('\n')) {
      const data = Buffer.from(line.length > LINE_CHARS ? line.slice(0, LINE_CHARS + 1) : line)
      if (this.lines >= LOG_LINES || this.bytes + data.length > LOG_BYTES) {
        this.drop()
        continue
      }
      this.lines++
      this.bytes += data.length
      if (size + data.length >= CHUNK_BYTES) {
        this.send(level, batch)
        batch = []
        size = 0
      }
      if (batch.length) batch.push(Buffer.from('\n'))
      batch.push(data)
      size += data.length + 1
    }
    this.send(level, batch)
  }

  // Sends a line with fields: JSON of the message and the fields.
  writeRecord (level, payload) {
    if (this.lines >= LOG_LINES || this.bytes + payload.length > LOG_BYTES) {
      this.drop()
      return
    }
    this.lines++
    this.bytes += payload.length
    if (this.assignmentId !== null) this.wire.send(RECORD, payload, this.assignmentId, level)
  }

  send (level, batch) {
    if (batch.length && this.assignmentId !== null) this.wire.send(LOG, Buffer.concat(batch), this.assignmentId, level)
  }
}

// Replaces process.stdout and process.stderr, and is what console.warn writes to.
class LogStream extends Writable {
  constructor (log, level, fd) {
    super({ decodeStrings: false })
    this.log = log
    this.level = level
    this.part = ''
    this.fd = fd
    this.isTTY = false
  }

  _write (chunk, encoding, done) {
    const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString()
    const cut = text.lastIndexOf('\n')
    if (cut >= 0) {
      const head = this.part + text.slice(0, cut)
      this.part = ''
      this.log.write(this.level, head)
    }
    if (this.part.length <= LINE_CHARS) this.part += text.slice(cut + 1, cut + 2 + LINE_CHARS)
    done()
  }

  _destroy (error, done) {
    done(error)
  }

  // Does nothing, because the next job writes here too.
  end () {
    return this
  }

  destroy () {
    return this
  }

  finish () {
    if (this.part) {
      const text = this.part
      this.part = ''
      this.log.write(this.level, text)
    }
  }
}

function describe (error) {
  if (!(error instanceof Error) && !util.types.isNativeError(error)) {
    return [typeof error === 'string' ? error : util.inspect(error, { depth: 2 }), undefined]
  }
  const name = String(error.name)
  const text = String(error.message)
  const message = text && name !== 'Error' ? `${name}: ${text}` : text || name
  const stack = typeof error.stack === 'string' ? error.stack.split('\n').filter((l) => !internalFrame.test(l)) : []
  return [message, stack.join('\n')]
}

// Describing an error can run user code.
function describeSafely (error) {
  try {
    return describe(error)
  } catch {
    return ['an error that cannot be printed', undefined]
  }
}

function failure (code, error) {
  return new JobFailure(code, ...describeSafely(error))
}

// Returns the type in the nearest package.json of a bundle, if there is one.
function nearestType (folder, top) {
  for (;;) {
    const file = path.join(folder, 'package.json')
    if (fs.existsSync(file)) return parse(fs.readFileSync(file, 'utf8')).type
    if (folder === top || folder.length <= top.length) return undefined
    folder = path.dirname(folder)
  }
}

class Handler {
  constructor () {
    this.call = null
  }

  take (payload) {
    const size = payload.readUInt32LE(0)
    const header = parse(payload.toString('utf8', 4, 4 + size))
    this.entrypoint = header.entrypoint
    this.folder = header.folder
    this.source = Buffer.from(payload.subarray(4 + size))
  }

  async load () {
    const exported = this.folder ? await this.loadBundled(this.folder) : await this.loadSource()
    const call = [exported, exported?.default, exported?.handler, exported?.default?.handler].find((x) => typeof x === 'function')
    if (!call) throw new TypeError(`${this.entrypoint} exports no handler function`)
    this.call = call
  }

  // Loads from the read-only bundle. The nearest package.json decides the module type, else the syntax.
  async loadBundled (folder) {
    const file = path.join(folder, this.entrypoint)
    const real = fs.realpathSync(folder)
    if (!fs.statSync(file, { throwIfNoEntry: false })?.isFile() || fs.realpathSync(file) !== path.join(real, this.entrypoint)) {
      throw new JobFailure('load_error', `The bundle has no file ${this.entrypoint}`)
    }
    const type = /\.[mc]js$/.test(file) ? undefined : nearestType(path.dirname(file), folder)
    const isModule = type === 'module' || (type !== 'commonjs' && this.isModule(file, fs.readFileSync(file, 'utf8')))
    if (!isModule) return Module._load(file, null, true)
    try {
      return await import(pathToFileURL(file).href)
    } catch (error) {
      if (type || file.endsWith('.mjs') || !(error instanceof SyntaxError && ESM_SYNTAX.test(error.message))) throw error
      throw new JobFailure('load_error', `${this.entrypoint} is an ES module: name it .mjs, or put "type": "module" into package.json`)
    }
  }

  async loadSource () {
    const file = path.join(process.cwd(), this.entrypoint)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, this.source)
    const text = this.source.toString()
    this.source = null
    return this.isModule(file, text) ? this.import(file) : this.require(file, text)
  }

  isModule (file, text) {
    if (file.endsWith('.mjs')) return true
    if (file.endsWith('.cjs')) return false
    try {
      new vm.Script(Module.wrap(text.replace(/^#!.*/, '')), { filename: file })
    } catch (error) {
      return error instanceof SyntaxError && ESM_SYNTAX.test(error.message)
    }
    return false
  }

  require (file, text) {
    const module = new Module(file, null)
    module.filename = file
    module.paths = Module._nodeModulePaths(path.dirname(file))
    Module._cache[file] = module
    require.main = process.mainModule = module
    module._compile(text, file)
    module.loaded = true
    return module.exports
  }

  async import (file) {
    if (!file.endsWith('.mjs')) {
      fs.writeFileSync(path.join(path.dirname(file), 'package.json'), '{"type":"module"}')
    }
    return import(pathToFileURL(file).href)
  }
}

class Environment {
  constructor () {
    this.before = new Map()
  }

  enter (env) {
    for (const [key, value] of Object.entries(env)) {
      if (!key || /[=\0]/.test(key) || value.includes('\0')) continue
      if (!this.before.has(key)) this.before.set(key, process.env[key])
      process.env[key] = value
    }
  }

  leave () {
    for (const [key, value] of this.before) {
      if (value === undefined) delete process.env[key]
      else process.env[key] = value
    }
    this.before.clear()
  }
}

class Harness {
  constructor (wire, { HandlerCalls }) {
    this.wire = wire
    this.handler = new Handler()
    this.environment = new Environment()
    this.log = new LogWriter(wire)
    this.calls = new HandlerCalls(wire, this.log, (callback) => {
      process.on('SIGTERM', callback)
      return () => process.off('SIGTERM', callback)
    })
    const out = new LogStream(this.log, INFO, 1)
    const warn = new LogStream(this.log, WARN, 2)
    const err = new LogStream(this.log, ERR, 2)
    this.streams = [out, warn, err]
    Object.defineProperty(process, 'stdout', { value: out, configurable: true, writable: true })
    Object.defineProperty(process, 'stderr', { value: err, configurable: true, writable: true })
    const warnConsole = new Console({ stdout: warn, stderr: warn })
    const console = new Console({ stdout: out, stderr: err })
    console.warn = warnConsole.warn.bind(warnConsole)
    console.Console = Console
    Object.defineProperty(globalThis, 'console', { value: console, configurable: true, writable: true })
    process.setUncaughtExceptionCaptureCallback((error) => this.crash(failure('handler_error', error)))
    process.on('beforeExit', () => this.crash(new JobFailure('handler_error',
      'The handler waits for a promise that nothing can settle any more')))
  }

  async serve () {
    this.wire.send(READY, nothing)
    for (;;) {
      const { kind, assignmentId, payload } = this.wire.next()
      if (kind === LOAD) this.handler.take(payload)
      if (kind !== RUN) continue
      this.wire.send(BEGAN, nothing, assignmentId)
      this.log.begin(assignmentId)
      this.began = now()
      try {
        this.end(RESULT, await this.answer(assignmentId, payload))
      } catch (error) {
        this.end(ERROR, Buffer.from(stringify(error.fields)))
      }
    }
  }

  async answer (assignmentId, payload) {
    const jobAt = LENGTHS_BYTES + payload.readUInt32LE(0)
    const inputAt = jobAt + payload.readUInt32LE(4)
    const env = parse(payload.toString('utf8', LENGTHS_BYTES, jobAt))
    const input = parse(payload.toString('utf8', inputAt))
    this.calls.begin(assignmentId, Buffer.from(payload.subarray(jobAt, inputAt)))
    this.environment.enter(env)
    if (!this.handler.call) {
      try {
        await this.handler.load()
      } catch (error) {
        throw error instanceof JobFailure ? error : failure('load_error', error)
      }
    }
    let value
    try {
      value = this.handler.call.call(undefined, this.calls.invocation(input, env))
      if (value !== null && typeof value === 'object' && typeof value.then === 'function') value = await value
    } catch (error) {
      throw failure('handler_error', error)
    }
    return this.serialize(value)
  }

  serialize (value) {
    let text = 'null'
    try {
      if (value !== undefined) text = stringify(value)
      if (text === undefined) throw new TypeError(`a ${typeof value}`)
    } catch (error) {
      const [message] = describeSafely(error)
      throw new JobFailure('handler_error', `The handler returned a value that is not JSON: ${message}`)
    }
    const answer = Buffer.from(text)
    if (answer.length > OUTPUT_BYTES) {
      throw new JobFailure('output_too_large', `The handler returned ${answer.length} bytes of JSON; the limit is ${OUTPUT_BYTES}`)
    }
    return answer
  }

  end (kind, payload, flags = RAW_PENDING) {
    const micros = Number((now() - this.began) / 1000n)
    this.environment.leave()
    for (const stream of this.streams) stream.finish()
    const assignmentId = this.log.assignmentId
    this.calls.end()
    this.log.end()
    this.wire.end(kind, payload, assignmentId, flags, Math.min(micros, 65535))
  }

  // User code failed outside of the awaited promise: the process cannot be reused.
  crash (failed) {
    if (this.log.assignmentId !== null) {
      this.end(ERROR, Buffer.from(stringify(failed.fields)), RAW_PENDING | WORN)
      this.wire.next() // until the executor kills this process
    }
    exit(LOST)
  }
}

async function main () {
  const [fd, uid, folder] = process.argv.slice(2)
  process.chdir(folder)
  if (uid !== '0') {
    process.setgroups([])
    process.setgid(Number(uid))
    process.setuid(Number(uid))
  }
  process.argv.length = 2
  // Imported here also because the first use of the loader of ES modules takes 10 ms.
  const calls = await import(pathToFileURL(path.join(__dirname, 'handler_calls.mjs')).href)
  const harness = new Harness(new Wire(Number(fd)), calls)
  harness.serve()
}

main()
