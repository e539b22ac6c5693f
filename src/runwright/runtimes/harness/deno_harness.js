// Runs deno handlers inside a sandbox: `deno_harness.js FD UID FOLDER`.
//
// Uses the protocol of runtimes/protocol.py on the inherited socket FD, which deno can only access through
// the C library: that permission is revoked before user code is loaded, and the functions stay private to
// this module. Between jobs it blocks in a synchronous read, so that no timer of the previous job runs;
// during a job the event loop belongs to user code. Frames are written synchronously, in the order of the
// calls that cause them.

import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate } from 'node:timers'
import { HandlerCalls } from './handler_calls.mjs'
import { describe, errorJson, LineStream, LogWriter, outputJson, withoutMark } from './job_output.mjs'

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
const WARM_UP = ['.warm-up.ts', 'export default async (): Promise<number> => 1']
const CONSOLE_LEVELS = [INFO, INFO, WARN, ERR]
const FUNCTIONS = {
  recv: { parameters: ['i32', 'buffer', 'usize', 'i32'], result: 'i32' },
  send: { parameters: ['i32', 'buffer', 'usize', 'i32'], result: 'i32' },
  setgroups: { parameters: ['usize', 'pointer'], result: 'i32' },
  setresgid: { parameters: ['u32', 'u32', 'u32'], result: 'i32' },
  setresuid: { parameters: ['u32', 'u32', 'u32'], result: 'i32' },
  _exit: { parameters: ['i32'], result: 'void' },
}

// Stack frames of no interest to the author of the handler.
const internalFrame = new RegExp(`^ +at .*(${import.meta.url.replace(/[.]/g, '[.]')}|ext:[a-z_]+/)`)

// Taken now, because user code may replace them.
const { parse } = JSON
const { now } = performance
const { inspect } = Deno
const { Console } = Deno[Deno.internal]
const { recv, send, setgroups, setresgid, setresuid, _exit } = Deno.dlopen('libc.so.6', FUNCTIONS).symbols
const clock = performance
const encoder = new TextEncoder()
const decoder = new TextDecoder()
const encode = encoder.encode.bind(encoder)
const decode = decoder.decode.bind(decoder)
const nothing = new Uint8Array(0)
const turn = () => new Promise((resolve) => setImmediate(resolve))
const printing = { isError: Error.isError ?? ((value) => value instanceof Error), inspect: (value) => inspect(value, { depth: 4 }), internalFrame }

class JobFailure {
  constructor (code, message, stack) {
    this.fields = { code, message: String(message).slice(0, MESSAGE_CHARS) }
    if (stack) this.fields.stack = String(stack).slice(0, STACK_CHARS)
  }
}

class Wire {
  constructor (fd) {
    this.fd = fd
    this.buffer = new Uint8Array(MESSAGE_BYTES)
    this.header = new DataView(this.buffer.buffer)
  }

  send (kind, payload, assignmentId = 0n, flags = 0, micros = 0) {
    const message = new Uint8Array(HEADER_BYTES + payload.length)
    const header = new DataView(message.buffer)
    message[0] = kind
    message[1] = flags
    header.setUint16(2, micros, true)
    header.setUint32(4, payload.length, true)
    header.setBigUint64(8, assignmentId, true)
    message.set(payload, HEADER_BYTES)
    if (send(this.fd, message, BigInt(message.length), 0) < 0) _exit(LOST) // the executor is gone
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
    const size = recv(this.fd, this.buffer, BigInt(MESSAGE_BYTES), 0)
    if (size <= 0) _exit(size < 0 ? LOST : 0)
    const assignmentId = this.header.getBigUint64(8, true)
    return { kind: this.buffer[0], assignmentId, payload: this.buffer.slice(HEADER_BYTES, size) }
  }

  // Returns the next LOAD or RUN, without answers to jobs that have ended.
  next () {
    const parts = []
    for (;;) {
      const { kind, assignmentId, payload } = this.receive()
      if (kind === PART) parts.push(payload)
      if (kind !== LOAD && kind !== RUN) continue
      return { kind, assignmentId, payload: parts.length ? joined([...parts, payload]) : payload }
    }
  }
}

function joined (parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0))
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}

// Splits the payload of a LOAD into its JSON header, whose length comes first, and the rest.
function split (payload) {
  const size = new DataView(payload.buffer, payload.byteOffset).getUint32(0, true)
  return [parse(decode(payload.subarray(4, 4 + size))), payload.subarray(4 + size)]
}

// Replaces the functions of Deno.stdout and Deno.stderr: whole lines go to the log.
class LogStream {
  constructor (log, level) {
    this.log = log
    this.lines = new LineStream(log, level)
    this.decoder = new TextDecoder()
  }

  write (bytes) {
    if (!this.log.isStale()) this.lines.take(this.decoder.decode(bytes, { stream: true }))
    return bytes.length
  }

  // Replaces the stream's functions; writes that bypass them go to the raw pipe.
  install (stream) {
    const writeSync = (bytes) => this.write(bytes)
    const write = async (bytes) => this.write(bytes)
    for (const [name, value] of Object.entries({ writeSync, write })) {
      Object.defineProperty(stream, name, { value, configurable: true, writable: true })
    }
  }

  finish () {
    const rest = this.decoder.decode()
    if (rest) this.lines.take(rest)
    this.lines.finish()
  }
}

// Describing an error can run user code.
function describeSafely (error) {
  try {
    return describe(error, printing)
  } catch {
    return ['an error that cannot be printed', undefined]
  }
}

function failure (code, error) {
  return new JobFailure(code, ...describeSafely(error))
}

class Handler {
  constructor () {
    this.call = null
  }

  take (payload) {
    const [header, source] = split(payload)
    this.entrypoint = header.entrypoint
    this.folder = header.folder
    this.onlyLoad = header.only_load
    this.source = source
    if (header.network === 'none') Deno.permissions.revokeSync({ name: 'net' })
  }

  async load () {
    const file = `${this.folder ?? Deno.cwd()}/${this.entrypoint}`
    if (this.folder === undefined) this.save(file)
    else if (!this.isInBundle(file)) throw new Deno.errors.NotFound(`The bundle has no file ${this.entrypoint}`)
    const module = await import(`file://${file.split('/').map(encodeURIComponent).join('/')}`)
    const call = [module.default, module.handler, module.default?.handler].find((x) => typeof x === 'function')
    if (!call) throw new TypeError(`${this.entrypoint} exports no handler function`)
    this.call = call
  }

  // The entrypoint must be inside the bundle, also after following links.
  isInBundle (file) {
    try {
      return Deno.lstatSync(file).isFile && Deno.realPathSync(file) === `${Deno.realPathSync(this.folder)}/${this.entrypoint}`
    } catch {
      return false
    }
  }

  save (file) {
    Deno.mkdirSync(file.slice(0, file.lastIndexOf('/')), { recursive: true })
    Deno.writeTextFileSync(file, withoutMark(decode(this.source)))
    this.source = null
  }
}

class Environment {
  constructor () {
    this.before = new Map()
  }

  enter (env) {
    for (const [key, value] of Object.entries(env)) {
      if (!key || /[=\0]/.test(key) || value.includes('\0')) continue
      if (!this.before.has(key)) this.before.set(key, Deno.env.get(key))
      Deno.env.set(key, value)
    }
  }

  leave () {
    for (const [key, value] of this.before) {
      if (value === undefined) Deno.env.delete(key)
      else Deno.env.set(key, value)
    }
    this.before.clear()
  }
}

// The threads that user code starts; none of them outlives its job.
class Threads {
  constructor () {
    const live = this.live = new Set()
    const Original = globalThis.Worker
    globalThis.Worker = class Worker extends Original {
      constructor (...rest) {
        super(...rest)
        live.add(this)
      }

      terminate () {
        live.delete(this)
        super.terminate()
      }
    }
  }

  end () {
    const left = this.live.size > 0
    for (const worker of this.live) worker.terminate()
    this.live.clear()
    return left
  }
}

// The timers of jobs: what one left behind does when a later job runs fails nothing. Deno reports errors without
// the context in which they were caused, so a rejection counts as caused by the timer that ran last.
class Timers {
  constructor (jobs, log) {
    this.stale = false
    for (const name of ['setTimeout', 'setInterval']) {
      const original = globalThis[name]
      const wrapped = (callback, ...rest) => {
        const owned = typeof callback === 'function' && jobs.getStore() !== undefined
        return original(owned ? (...values) => this.call(callback, values, log) : callback, ...rest)
      }
      Object.defineProperty(wrapped, 'name', { value: name })
      Object.defineProperty(globalThis, name, { value: wrapped, configurable: true, writable: true })
    }
  }

  call (callback, values, log) {
    if (!log.isStale()) return callback(...values)
    this.stale = true
    setImmediate(() => { this.stale = false })
    try {
      callback(...values)
    } catch {} // its job has ended
  }
}

class Harness {
  constructor (wire) {
    this.wire = wire
    this.handler = new Handler()
    this.environment = new Environment()
    this.threads = new Threads()
    this.jobs = new AsyncLocalStorage()
    this.folder = Deno.cwd()
    const log = this.log = new LogWriter(wire, { encode, join: joined, owner: () => this.jobs.getStore() })
    this.calls = new HandlerCalls(wire, log, (callback) => {
      Deno.addSignalListener('SIGTERM', callback)
      return () => Deno.removeSignalListener('SIGTERM', callback)
    })
    this.timers = new Timers(this.jobs, log)
    const out = new LogStream(log, INFO)
    const err = new LogStream(log, ERR)
    this.streams = [out, err]
    out.install(Deno.stdout)
    err.install(Deno.stderr)
    const print = (text, level) => {
      if (!log.isStale()) log.write(CONSOLE_LEVELS[level] ?? INFO, text.replace(/\n$/, ''))
    }
    Object.defineProperty(globalThis, 'console', { value: new Console(print), configurable: true, writable: true })
    this.watch('error', (event) => event.error)
    this.watch('unhandledrejection', (event) => event.reason)
    addEventListener('beforeunload', () => this.crash(new JobFailure('handler_error',
      'The handler waits for a promise that nothing can settle any more')))
  }

  watch (kind, cause) {
    addEventListener(kind, (event) => {
      event.preventDefault()
      if (this.log.isStale() || this.timers.stale) return
      this.crash(failure('handler_error', cause(event)))
    })
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
      this.began = now.call(clock)
      try {
        const answer = await this.answer(assignmentId, payload)
        await turn() // in which a rejection that nothing handles fails the job that caused it
        this.end(RESULT, answer)
      } catch (error) {
        this.end(ERROR, encode(errorJson(error.fields)))
      }
    }
  }

  // Runs a trial job, because deno initializes much on first use.
  async warmUp () {
    const [name, source] = WARM_UP
    this.handler.entrypoint = name
    this.handler.source = encode(source)
    const payload = encode('........{}{}{}')
    for (const at of [0, 4]) new DataView(payload.buffer).setUint32(at, 2, true)
    await this.answer(0n, payload)
    this.handler.call = null
    Deno.removeSync(name)
  }

  async answer (assignmentId, payload) {
    const lengths = new DataView(payload.buffer, payload.byteOffset)
    const jobAt = LENGTHS_BYTES + lengths.getUint32(0, true)
    const inputAt = jobAt + lengths.getUint32(4, true)
    const env = parse(decode(payload.subarray(LENGTHS_BYTES, jobAt)))
    const input = parse(decode(payload.subarray(inputAt)))
    this.calls.begin(assignmentId, payload.slice(jobAt, inputAt))
    this.environment.enter(env)
    Deno.chdir(this.folder)
    if (!this.handler.call) {
      try {
        await this.handler.load()
      } catch (error) {
        throw failure('load_error', error)
      }
    }
    if (this.handler.onlyLoad) return encode('null')
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
      text = outputJson(value)
    } catch (error) {
      const [message] = describeSafely(error)
      throw new JobFailure('handler_error', `The handler returned a value that is not JSON: ${message}`)
    }
    const answer = encode(text)
    if (answer.length > OUTPUT_BYTES) {
      throw new JobFailure('output_too_large', `The handler returned ${answer.length} bytes of JSON; the limit is ${OUTPUT_BYTES}`)
    }
    return answer
  }

  end (kind, payload, flags = 0) {
    const micros = Math.round((now.call(clock) - this.began) * 1000)
    this.environment.leave()
    if (this.threads.end()) flags |= WORN
    for (const stream of this.streams) stream.finish()
    const assignmentId = this.log.assignmentId
    this.calls.end()
    this.log.end()
    this.wire.end(kind, payload, assignmentId, flags | RAW_PENDING, Math.min(micros, 65535))
  }

  // User code failed outside of the awaited promise: the process cannot be reused.
  crash (failed) {
    if (this.log.assignmentId !== null) {
      this.end(ERROR, encode(errorJson(failed.fields)), WORN)
      this.wire.next() // until the executor kills this process
    }
    _exit(LOST)
  }
}

async function main () {
  const [fd, uid, folder] = Deno.args
  if (uid !== '0') {
    const id = Number(uid)
    if (setgroups(0n, null) || setresgid(id, id, id) || setresuid(id, id, id)) _exit(LOST)
  }
  Deno.chdir(folder)
  for (const name of ['ffi', 'run']) Deno.permissions.revokeSync({ name })
  const harness = new Harness(new Wire(Number(fd)))
  await harness.warmUp()
  harness.serve()
}

main()
