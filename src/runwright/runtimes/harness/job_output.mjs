// What node and deno handlers write, return and fail with, in the form that the executor takes.

const LOG = 18, DROPPED = 19, RECORD = 23, TEXT = 26
const CHUNK_BYTES = 60 * 1024
const LINE_CHARS = 16 * 1024
const BAR_CHARS = 512
const LOG_LINES = 10000
const LOG_BYTES = 4 * 1024 * 1024
const TEXT_BURST = 200
const TEXT_PER_SECOND = 50
const CAUSES = 5
const LEVELS_OF_ERRORS = 4

// Taken now, because user code may replace them.
const { stringify } = JSON
const { now } = Date
const { toString } = Object.prototype
const { keys } = Object
const { isArray } = Array

// Half of a pair of surrogates is no text. JSON has an escape for it, and a whole pair as it is.
const ESCAPE = /\\(?:u(d[89a-f][0-9a-f]{2})|.)/gi

export function wellFormed (json) {
  return json.includes('\\ud') ? json.replace(ESCAPE, (escape, half) => half ? '\\ufffd' : escape) : json
}

export function withoutMark (text) {
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
}

export class LogWriter {
  // `owner` returns the job that the running code was started by; undefined if it is the worker's.
  constructor (wire, { encode, join, owner }) {
    this.wire = wire
    this.encode = encode
    this.join = join
    this.owner = owner
    this.assignmentId = null
    this.lines = this.bytes = this.dropped = this.reported = 0
    this.tokens = this.refilled = 0
  }

  begin (assignmentId) {
    this.lines = this.bytes = this.dropped = this.reported = 0
    this.tokens = TEXT_BURST
    this.refilled = now()
    this.assignmentId = assignmentId
  }

  end () {
    this.report()
    this.assignmentId = null
  }

  // Whether the running code was left behind by a job that has ended.
  isStale () {
    const owner = this.owner()
    return owner !== undefined && owner !== this.assignmentId
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
      const data = this.encode(line.length > LINE_CHARS ? line.slice(0, LINE_CHARS + 1) : line)
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
      if (batch.length) batch.push(this.encode('\n'))
      batch.push(data)
      size += data.length + 1
    }
    this.send(level, batch)
  }

  // Sends text of an unfinished line, or the end of one, and returns whether it is sent: not too often, unless
  // it ends a line of which a part was sent.
  writePart (level, text, ends = false) {
    const data = this.encode(text)
    const time = now()
    this.tokens = Math.min(TEXT_BURST, this.tokens + Math.max(0, time - this.refilled) * TEXT_PER_SECOND / 1000)
    this.refilled = time
    if (this.assignmentId === null || this.bytes + data.length > LOG_BYTES || !(ends || this.tokens > 1)) return ends
    this.tokens--
    this.bytes += data.length
    this.wire.send(TEXT, data, this.assignmentId, level)
    return true
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
    if (batch.length && this.assignmentId !== null) this.wire.send(LOG, this.join(batch), this.assignmentId, level)
  }
}

// Output of a job: its whole lines go to the log, and so does an unfinished one, which may be the last.
export class LineStream {
  constructor (log, level) {
    this.log = log
    this.level = level
    this.part = ''
    this.begun = false
  }

  take (text) {
    const cut = text.lastIndexOf('\n')
    if (cut >= 0) this.takeLines(text.slice(0, cut))
    if (this.part.length <= LINE_CHARS) this.part += text.slice(cut + 1, cut + 2 + LINE_CHARS)
    if (this.part.length > BAR_CHARS && text.includes('\r')) { // the states of a progress bar follow each other
      this.part = this.part.slice(Math.max(0, this.part.lastIndexOf('\r', this.part.length - 2)))
    }
    if (this.part && this.log.writePart(this.level, this.part.slice(0, LINE_CHARS))) {
      this.part = ''
      this.begun = true
    }
  }

  takeLines (text) {
    const lines = this.part + text
    this.part = ''
    if (!this.begun) {
      this.log.write(this.level, lines)
      return
    }
    this.begun = false
    const end = lines.indexOf('\n')
    this.log.writePart(this.level, `${(end < 0 ? lines : lines.slice(0, end)).slice(0, LINE_CHARS)}\n`, true)
    if (end >= 0) this.log.write(this.level, lines.slice(end + 1))
  }

  finish () {
    if (this.part || this.begun) this.takeLines('')
  }
}

// Returns message and stack of what was thrown. `inspect` prints all of an error, as the runtime itself does:
// its causes, the errors that it combines, its own properties.
export function describe (error, { isError, inspect, internalFrame }) {
  if (!isError(error)) return [typeof error === 'string' ? error : withoutFrames(inspect(error), internalFrame), undefined]
  const name = String(error.name)
  const text = String(error.message)
  // A module that cannot be parsed or found is reported by deno as a TypeError around the actual error.
  const wrapped = name === 'TypeError' && /^(SyntaxError: |Module not found |Import )/.test(text)
  const message = text && name !== 'Error' && !wrapped ? `${name}: ${text}` : text || name
  const plain = error.cause === undefined && !keys(error).length && !isArray(error.errors)
  const stack = plain || typeof error.stack !== 'string' ? error.stack : inspect(error)
  return [message + because(error, isError, [error]), typeof stack === 'string' ? withoutFrames(stack, internalFrame) : '']
}

// Returns a stack without the frames of no interest. The last one of an error may open what is printed after it.
function withoutFrames (stack, internalFrame) {
  const lines = []
  for (const line of stack.split('\n')) {
    if (!internalFrame.test(line)) lines.push(line)
    else if (line.endsWith(' {') && lines.length) lines.push(`${lines.pop()} {`)
  }
  return lines.join('\n')
}

// Returns what an error was caused by. `above`: the errors that it is in, itself last; one that is in itself is not repeated.
function because (error, isError, above) {
  if (above.length > LEVELS_OF_ERRORS) return ''
  const brief = (one) => {
    if (!isError(one)) return String(one) // whole: where it were cut a secret could begin
    if (above.includes(one)) return '[circular]'
    const name = String(one.name)
    const text = String(one.message || one.code || '')
    return `${text ? `${name}: ${text}` : name}${because(one, isError, [...above, one])}`
  }
  const combined = isArray(error.errors) && error.errors.length
    ? ` (${error.errors.slice(0, CAUSES).map(brief).join('; ')}${error.errors.length > CAUSES ? '; …' : ''})`
    : ''
  return error.cause === undefined || error.cause === null ? combined : `${combined} (cause: ${brief(error.cause)})`
}

// What JSON.stringify turns into {} without a word: converted where there is one way to do that, else refused.
const CONVERTED = {
  Map: (map) => {
    for (const key of map.keys()) {
      if (typeof key !== 'string' && typeof key !== 'number') throw new TypeError(`a Map with a key that is a ${typeof key}`)
    }
    return Object.fromEntries(map)
  },
  Set: (set) => [...set],
  Headers: (headers) => Object.fromEntries(headers),
  URLSearchParams: (params) => Object.fromEntries(params),
  FormData: (form) => Object.fromEntries(form),
  Error: ({ name, message }) => ({ name: String(name), message: String(message) }),
}
CONVERTED['Map Iterator'] = CONVERTED['Set Iterator'] = CONVERTED['Array Iterator'] = CONVERTED.Set
const EMPTY = ['Object', 'Array', 'Arguments', 'String', 'Number', 'Boolean']
const HINTS = {
  Response: '; return what is in it, for example await response.json()',
  Promise: ' that was not awaited',
  Blob: '; return its text, or its bytes in base64',
  ArrayBuffer: '; return its bytes in base64',
  DataView: '; return its bytes in base64',
}

const named = (kind) => `${/^[aeiou]/i.test(kind) ? 'an' : 'a'} ${kind}`

function expressible (_key, value) {
  if (value === null || typeof value !== 'object' || isArray(value)) return value
  if (ArrayBuffer.isView(value) && toString.call(value) !== '[object DataView]') return value
  if (typeof value.pipe === 'function' && typeof value.on === 'function') throw new TypeError('a stream; return what is in it')
  const kind = toString.call(value).slice(8, -1)
  if (EMPTY.includes(kind) || keys(value).length) return value
  if (CONVERTED[kind]) return CONVERTED[kind](value)
  throw new TypeError(`${named(kind)}${HINTS[kind] ?? ''}`)
}

// Returns a handler's value as JSON; TypeError with its kind if there is none for it.
export function outputJson (value) {
  if (value === undefined) return 'null'
  let text = stringify(value)
  // Few outputs hold an empty object, and looking at each value takes many times as long.
  if (text?.includes('{}')) text = stringify(value, expressible)
  if (text === undefined) throw new TypeError(named(typeof value))
  return wellFormed(text)
}

// Returns the report of a failure as JSON.
export function errorJson (fields) {
  return wellFormed(stringify(fields))
}
