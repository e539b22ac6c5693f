// What a node or deno handler has of its job: `job` and `log` in `({ input, env, job, log })`.
//
// Shared by both harnesses. A request is written and its answer read at once, without a turn of the event loop:
// the socket carries nothing else meanwhile. The functions return promises, so that this may change.

import { wellFormed } from './job_output.mjs'

const ANSWER = 4, PROGRESS = 24, REQUEST = 25
const LEVELS = { info: 0, warn: 1, error: 2, debug: 3 }
const LINE_CHARS = 16 * 1024
const VALUE_BYTES = 60 * 1024
const REQUEST_BYTES = 64 * 1024
const FIELD_CHARS = 2 * 1024
const FIELDS_BYTES = 8 * 1024
const FIELDS = 32
const DEPTH = 60
const PROGRESS_BURST = 50
const PROGRESS_PER_SECOND = 10
const PROGRESS_CHARS = 200
const NAME_CHARS = 100

// Taken now, because user code may replace them.
const { parse, stringify } = JSON
const { now } = Date
const encoder = new TextEncoder()
const decoder = new TextDecoder()
const encode = encoder.encode.bind(encoder)
const decode = decoder.decode.bind(decoder)

const CONTROLS = /[\0-\x08\x0b-\x1f]/g

const toJson = (value) => {
  const text = stringify(value)
  return text === undefined ? text : wellFormed(text)
}

export class JobCallError extends Error {
  constructor (code, message) {
    super(message)
    this.name = 'JobCallError'
    this.code = code
  }
}

// A field's value as JSON; of what is none its text, and of what is too large a note.
function fieldJson (value) {
  let text
  try {
    text = toJson(value)
  } catch {
    text = undefined
  }
  try {
    text ??= toJson(String(value).replace(CONTROLS, ' '))
  } catch {
    return '"(unprintable)"'
  }
  if (text.length > FIELD_CHARS) return `"(${text.length} characters)"`
  return text.split(/[[{]/).length <= DEPTH ? text : '"(nested deeply)"'
}

// The name of a field; of one that is too long a note, as its beginning may be that of a secret.
function readField (fields, name) {
  let value
  try {
    value = fields[name]
  } catch { // a getter is user code
    return '"(unprintable)"'
  }
  return fieldJson(value)
}

function fieldName (name) {
  return name.length > NAME_CHARS ? `(${name.length} characters)` : name.replace(CONTROLS, ' ')
}

function textOf (value, what) {
  if (typeof value !== 'string') throw new TypeError(`The ${what} is not text`)
  return value
}

function fieldsJson (fields) {
  const parts = []
  const entries = Object.keys(fields ?? {})
  let size = 0
  for (const name of entries) {
    const part = `${toJson(fieldName(name))}:${readField(fields, name)}`
    size += 3 * part.length
    if (parts.length >= FIELDS || size > 3 * FIELDS_BYTES) {
      parts.push(`"dropped_fields":${entries.length - parts.length}`)
      break
    }
    parts.push(part)
  }
  return `{${parts.join(',')}}`
}

export class HandlerCalls {
  // `onTerm(callback)` listens for SIGTERM and returns the function that ends that.
  constructor (wire, writer, onTerm) {
    this.wire = wire
    this.writer = writer
    this.onTerm = onTerm
    this.number = 0
    this.assignmentId = null
    this.job = this.log = this.stopListening = null
  }

  begin (assignmentId, context) {
    this.assignmentId = assignmentId
    this.context = context
    this.began = now()
    this.job = this.log = null
  }

  // Sends the last progress if it was kept back; from now on the objects of this job do nothing.
  end () {
    if (this.delayed) this.wire.send(PROGRESS, this.delayed, this.assignmentId)
    this.stopListening?.()
    this.delayed = this.stopListening = this.assignmentId = null
  }

  check (assignmentId) {
    if (this.assignmentId !== assignmentId) throw new Error('The job has ended')
  }

  // The argument of the handler; job and log are made when they are taken from it.
  invocation (input, env) {
    return new Invocation(this, input, env)
  }

  makeJob () {
    this.tokens = PROGRESS_BURST
    this.refilled = now()
    return new SandboxedJob(this, this.assignmentId, parse(decode(this.context)), this.began)
  }

  makeLog () {
    const assignmentId = this.assignmentId
    const line = (level) => (message, fields) => {
      if (this.assignmentId === assignmentId) this.record(LEVELS[level], message, fields)
    }
    return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
  }

  record (level, message, fields) {
    const text = String(message).slice(0, LINE_CHARS + 1).replace(CONTROLS, '\ufffd')
    this.writer.writeRecord(level, encode(`[${toJson(text)},${fieldsJson(fields)}]`))
  }

  progress (fraction, message) {
    const part = fraction == null ? null : Math.min(1, Math.max(0, Number(fraction)))
    if (Number.isNaN(part)) throw new TypeError('The fraction of a progress is a number from 0 to 1')
    const text = message == null ? null : String(message).replace(CONTROLS, ' ').slice(0, PROGRESS_CHARS)
    const payload = encode(toJson([part, text]))
    const time = now()
    this.tokens = Math.min(PROGRESS_BURST, this.tokens + Math.max(0, time - this.refilled) * PROGRESS_PER_SECOND / 1000)
    this.refilled = time
    if (this.tokens < 1) {
      this.delayed = payload
      return
    }
    this.tokens--
    this.delayed = null
    this.wire.send(PROGRESS, payload, this.assignmentId)
  }

  ask (call) {
    if (Object.values(call).some((value) => stringify(value) === undefined)) throw new TypeError('The value is not JSON')
    const body = encode(toJson(call))
    if (body.length + 4 > REQUEST_BYTES) {
      throw new JobCallError('invalid', `The call has ${body.length} bytes of JSON; its value may have ${VALUE_BYTES}.`)
    }
    const number = this.number = (this.number + 1) % 2 ** 32
    const payload = new Uint8Array(4 + body.length)
    new DataView(payload.buffer).setUint32(0, number, true)
    payload.set(body, 4)
    this.wire.send(REQUEST, payload, this.assignmentId)
    for (;;) {
      // Jobs that arrive before the answer are discarded: the executor has given them to other sandboxes by then.
      const { kind, assignmentId, payload: answer } = this.wire.receive()
      if (kind !== ANSWER || assignmentId !== this.assignmentId) continue
      if (new DataView(answer.buffer, answer.byteOffset).getUint32(0, true) !== number) continue
      const { value, error } = parse(decode(answer.subarray(4)))
      if (error) throw new JobCallError(error.code, error.message)
      return value
    }
  }
}

class Invocation {
  #calls
  constructor (calls, input, env) {
    this.#calls = calls
    this.input = input
    this.env = env
  }

  get job () {
    const calls = this.#calls
    return (calls.job ??= calls.makeJob())
  }

  get log () {
    const calls = this.#calls
    return (calls.log ??= calls.makeLog())
  }
}

class SandboxedJob {
  #calls
  #assignmentId
  #cancelled = false
  #watched = false

  constructor (calls, assignmentId, context, began) {
    this.#calls = calls
    this.#assignmentId = assignmentId
    this.id = context.id
    this.attempt = context.attempt
    this.worker = { id: context.worker_id, name: context.worker_name, version: context.worker_version }
    this.deadline = new Date(began + context.timeout_seconds * 1000)
  }

  // From the first time that this is read, a cancel no longer ends the process at once: the handler has the
  // grace period to clean up and return. It changes in a turn of the event loop.
  get cancelled () {
    if (!this.#watched) {
      const calls = this.#running()
      this.#watched = true
      calls.stopListening = calls.onTerm(() => { this.#cancelled = true })
    }
    return this.#cancelled
  }

  progress (fraction, message) {
    this.#running().progress(fraction, message)
  }

  async get (key, otherwise = null) {
    return this.#running().ask({ op: 'get', key: textOf(key, 'key') }) ?? otherwise
  }

  async set (key, value, options = {}) {
    const expected = 'expect' in options ? { expect: options.expect ?? null } : {}
    return this.#running().ask({ op: 'set', key: textOf(key, 'key'), value: value ?? null, ...expected })
  }

  async emit (type, payload = {}, { key } = {}) {
    return this.#running().ask({ op: 'emit', type: textOf(type, 'type'), payload, key: key == null ? null : String(key) })
  }

  async start (worker, input = {}, { key } = {}) {
    return this.#running().ask({ op: 'start', worker: textOf(worker, 'worker'), input, key: key == null ? null : String(key) })
  }

  #running () {
    this.#calls.check(this.#assignmentId)
    return this.#calls
  }
}
