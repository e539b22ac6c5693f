// Runs deno handlers inside a sandbox: `deno_harness.js FD UID FOLDER`.
//
// Uses the protocol of runtimes/protocol.py on the inherited socket FD, which deno can only access through
// the C library: that permission is revoked before user code is loaded, and the functions stay private to
// this module. Between jobs it blocks in a synchronous read, so that no timer of the previous job runs;
// during a job the event loop belongs to user code. Frames are written synchronously, in the order of the
// calls that cause them.

import { HandlerCalls } from './handler_calls.mjs'

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
const { parse, stringify } = JSON
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
    const count = new Uint8Array(4)
    new DataView(count.buffer).setUint32(0, Math.min(this.dropped - this.reported, 0xffffffff), true)
    this.reported = this.dropped
    this.wire.send(DROPPED, count, this.assignmentId)
  }

  write (level, text) {
    let batch = []
    let size = 0
    for (const line of text.split('\n')) {
      const data = encode(line.length > LINE_CHARS ? line.slice(0, LINE_CHARS + 1) : line)
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
      if (batch.length) batch.push(encode('\n'))
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
    if (batch.length && this.assignmentId !== null) this.wire.send(LOG, joined(batch), this.assignmentId, level)
  }
}

// Replaces the functions of Deno.stdout and Deno.stderr: whole lines go to the log.
class LogStream {
  constructor (log, level) {
    this.log = log
    this.level = level
    this.part = ''
  }

  write (bytes) {
    const text = decode(bytes)
    const cut = text.lastIndexOf('\n')
    if (cut >= 0) {
      const head = this.part + text.slice(0, cut)
      this.part = ''
      this.log.write(this.level, head)
    }
    if (this.part.length <= LINE_CHARS) this.part += text.slice(cut + 1, cut + 2 + LINE_CHARS)
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
    if (this.part) {
      const text = this.part
      this.part = ''
      this.log.write(this.level, text)
    }
  }
}

function describe (error) {
  if (!Error.isError(error)) return [typeof error === 'string' ? error : inspect(error, { depth: 2 }), undefined]
  const name = String(error.name)
  const text = String(error.message)
  // A module that cannot be parsed or found is reported as a TypeError around the actual error.
  const wrapped = name === 'TypeError' && /^(SyntaxError: |Module not found |Import )/.test(text)
  const message = text && name !== 'Error' && !wrapped ? `${name}: ${text}` : text || name
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

class Handler {
  constructor () {
    this.call = null
  }

  take (payload) {
    const [header, source] = split(payload)
    this.entrypoint = header.entrypoint
    this.folder = header.folder
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
    Deno.writeFileSync(file, this.source)
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

class Harness {
  constructor (wire) {
    this.wire = wire
    this.handler = new Handler()
    this.environment = new Environment()
    this.threads = new Threads()
    const log = this.log = new LogWriter(wire)
    this.calls = new HandlerCalls(wire, log, (callback) => {
      Deno.addSignalListener('SIGTERM', callback)
      return () => Deno.removeSignalListener('SIGTERM', callback)
    })
    const out = new LogStream(log, INFO)
    const err = new LogStream(log, ERR)
    this.streams = [out, err]
    out.install(Deno.stdout)
    err.install(Deno.stderr)
    const print = (text, level) => log.write(CONSOLE_LEVELS[level] ?? INFO, text.replace(/\n$/, ''))
    Object.defineProperty(globalThis, 'console', { value: new Console(print), configurable: true, writable: true })
    this.watch('error', (event) => event.error)
    this.watch('unhandledrejection', (event) => event.reason)
    addEventListener('beforeunload', () => this.crash(new JobFailure('handler_error',
      'The handler waits for a promise that nothing can settle any more')))
  }

  watch (kind, cause) {
    addEventListener(kind, (event) => {
      event.preventDefault()
      this.crash(failure('handler_error', cause(event)))
    })
  }

  async serve () {
    this.wire.send(READY, nothing)
    for (;;) {
      const { kind, assignmentId, payload } = this.wire.next()
      if (kind === LOAD) this.handler.take(payload)
      if (kind !== RUN) continue
      this.wire.send(BEGAN, nothing, assignmentId)
      this.log.begin(assignmentId)
      this.began = now.call(clock)
      try {
        this.end(RESULT, await this.answer(assignmentId, payload))
      } catch (error) {
        this.end(ERROR, encode(stringify(error.fields)))
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
    if (!this.handler.call) {
      try {
        await this.handler.load()
      } catch (error) {
        throw failure('load_error', error)
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
      this.end(ERROR, encode(stringify(failed.fields)), WORN)
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
