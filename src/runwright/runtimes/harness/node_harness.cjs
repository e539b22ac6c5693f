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
const { AsyncLocalStorage } = require('node:async_hooks')
const { Console } = require('node:console')
const { Module } = require('node:module')
const { Writable } = require('node:stream')
const { StringDecoder } = require('node:string_decoder')
const { pathToFileURL } = require('node:url')

const LOAD = 1, RUN = 2, PART = 3, READY = 16, BEGAN = 17, RESULT = 20, ERROR = 21
const RAW_PENDING = 1, WORN = 2
const INFO = 0, WARN = 1, ERR = 2
const LENGTHS_BYTES = 8
const HEADER_BYTES = 16
const CHUNK_BYTES = 60 * 1024
const MESSAGE_BYTES = 128 * 1024
const OUTPUT_BYTES = 1024 * 1024
const MESSAGE_CHARS = 4096
const STACK_CHARS = 32 * 1024
const LOST = 70
const ESM_SYNTAX = /import statement outside a module|Unexpected token 'export'|import\.meta|await is only valid/

// Stack frames of no interest to the author of the handler.
const internalFrame = new RegExp(`^ +at .*(${__filename.replace(/[.]/g, '[.]')}|node:internal/(modules/|async_local_storage|process/task_queues)|node:async_hooks)`)

// Taken now, because user code may replace them.
const { readSync, writeSync } = fs
const { parse } = JSON
const exit = process.reallyExit.bind(process)
const now = process.hrtime.bigint
const turn = util.promisify(setImmediate)
const nothing = Buffer.alloc(0)
const isError = (value) => value instanceof Error || util.types.isNativeError(value)
const printing = { isError, inspect: (value) => util.inspect(value, { depth: 4 }), internalFrame }

// The functions of job_output.mjs, which is loaded at boot.
let output

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

// Replaces process.stdout and process.stderr, and is what console.warn writes to. Like those of node they can
// be ended and destroyed, and stay usable.
class LogStream extends Writable {
  constructor (log, level, fd) {
    super({ decodeStrings: false, autoDestroy: false, emitClose: false })
    this.log = log
    this.lines = new output.LineStream(log, level)
    this.decoder = new StringDecoder('utf8')
    this.fd = fd
    this.isTTY = false
  }

  _write (chunk, encoding, done) {
    if (!this.log.isStale()) this.lines.take(this.text(chunk, encoding))
    done()
  }

  text (chunk, encoding) {
    if (typeof chunk !== 'string') return this.decoder.write(chunk)
    return encoding === 'utf8' || encoding === 'utf-8' ? chunk : this.decoder.write(Buffer.from(chunk, encoding))
  }

  end (chunk, encoding, done) {
    const last = [chunk, encoding, done].find((one) => typeof one === 'function')
    if (chunk !== undefined && chunk !== null && chunk !== last) this.write(chunk, encoding === last ? undefined : encoding)
    process.nextTick(() => {
      this.emit('finish')
      this.emit('close')
      last?.()
    })
    return this
  }

  destroy (error, done) {
    process.nextTick(() => {
      if (error && this.listenerCount('error')) this.emit('error', error)
      this.emit('close')
      done?.(error)
    })
    return this
  }

  destroySoon () {
    return this.destroy()
  }

  finish () {
    const rest = this.decoder.end()
    if (rest) this.lines.take(rest)
    this.lines.finish()
  }
}

// Describing an error can run user code.
function describeSafely (error) {
  try {
    return output.describe(error, printing)
  } catch {
    return ['an error that cannot be printed', undefined]
  }
}

function failure (code, error) {
  return new JobFailure(code, ...describeSafely(error))
}

// Returns a file's text without a byte order mark, which node does not expect in every place, and takes it out
// of the file.
function readRepaired (file) {
  const text = fs.readFileSync(file, 'utf8')
  const plain = output.withoutMark(text)
  if (plain !== text) {
    try {
      fs.writeFileSync(file, plain)
    } catch {} // a folder that cannot be written to
  }
  return plain
}

// Returns the type in the nearest package.json of a bundle, if there is one.
function nearestType (folder, top) {
  for (;;) {
    const file = path.join(folder, 'package.json')
    if (fs.existsSync(file)) return parse(readRepaired(file)).type
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
    this.onlyLoad = header.only_load
    this.source = Buffer.from(payload.subarray(4 + size))
  }

  async load () {
    process.argv[1] = path.join(this.folder ?? process.cwd(), this.entrypoint)
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
    readRepaired(file)
    const type = /\.[mc]js$/.test(file) ? undefined : nearestType(path.dirname(file), folder)
    const isModule = type === 'module' || (type !== 'commonjs' && this.isModule(file, readRepaired(file)))
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
    const text = output.withoutMark(this.source.toString())
    fs.writeFileSync(file, text)
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
    this.jobs = new AsyncLocalStorage()
    this.folder = process.cwd()
    this.log = new output.LogWriter(wire, {
      encode: (text) => Buffer.from(text),
      join: (parts) => Buffer.concat(parts),
      owner: () => this.jobs.getStore(),
    })
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
    process.on('uncaughtException', (error) => this.uncaught(error))
    process.on('beforeExit', () => this.crash(new JobFailure('handler_error',
      'The handler waits for a promise that nothing can settle any more')))
  }

  async serve () {
    this.wire.send(READY, nothing)
    for (;;) {
      const { kind, assignmentId, payload } = this.wire.next()
      if (kind === LOAD) {
        this.handler.take(payload)
        this.folder = this.handler.folder ?? this.folder
      }
      if (kind !== RUN) continue
      this.wire.send(BEGAN, nothing, assignmentId)
      this.log.begin(assignmentId)
      this.began = now()
      try {
        const answer = await this.answer(assignmentId, payload)
        await turn() // in which a rejection that nothing handles fails the job that caused it
        this.end(RESULT, answer)
      } catch (error) {
        this.end(ERROR, Buffer.from(output.errorJson(error.fields)))
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
    process.chdir(this.folder)
    if (!this.handler.call) {
      try {
        await this.handler.load()
      } catch (error) {
        throw error instanceof JobFailure ? error : failure('load_error', error)
      }
    }
    if (this.handler.onlyLoad) return Buffer.from('null')
    let value
    try {
      const invocation = this.calls.invocation(input, env)
      value = this.jobs.run(assignmentId, () => this.handler.call.call(undefined, invocation))
      if (value !== null && typeof value === 'object' && typeof value.then === 'function') value = await value
    } catch (error) {
      throw failure('handler_error', error)
    }
    return this.serialize(value)
  }

  serialize (value) {
    let text
    try {
      text = output.outputJson(value)
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

  // An error that nothing has caught: the job's, unless it has a listener of its own. What an earlier job has
  // left behind fails no later one.
  uncaught (error) {
    if (this.log.isStale() || process.listenerCount('uncaughtException') > 1) return
    this.crash(failure('handler_error', error))
  }

  // User code failed outside of the awaited promise: the process cannot be reused.
  crash (failed) {
    if (this.log.assignmentId !== null) {
      this.end(ERROR, Buffer.from(output.errorJson(failed.fields)), RAW_PENDING | WORN)
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
  const [calls, shared] = await Promise.all(['handler_calls.mjs', 'job_output.mjs'].map(
    (name) => import(pathToFileURL(path.join(__dirname, name)).href)))
  output = shared
  const harness = new Harness(new Wire(Number(fd)), calls)
  harness.serve()
}

main()
