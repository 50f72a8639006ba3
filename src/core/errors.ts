/**
 * The one family of errors. Each class is one exit code; each message is one line that says file, place, what was
 * found, what was wanted, and the way out. Callers branch on `code` or on the class, never on the text.
 *
 * Only src/cli prints errors or ends the process.
 */

/** Where in the user's data an error lies. Every field that is known should be set. */
export interface Place {
  /** File as the user would name it (a base name or a path), never made of tensor names. */
  readonly file?: string
  /** Tensor, as the file spells it. */
  readonly tensor?: string
  /** Offset in bytes from the start of `file`. */
  readonly offset?: number
  /** Part of the file that offset counts from, when it is not the file itself (`data.pkl` of a zip). */
  readonly part?: string
  /** The rule of the file's format that is broken, by its name in docs/formats.md: for programs, not part of the message. */
  readonly rule?: string
}

const SHOWN_CHARACTERS = 120 // longer names fill a terminal; a 50 KB tensor name is in the hostile corpus

/** Base class: anything this toolkit refuses or fails at. A throw of anything else is a bug (exit 1). */
export abstract class ToolkitError extends Error {
  abstract readonly code: string
  abstract readonly exitCode: number
  readonly place: Place
  /** The message without the place. */
  readonly what: string

  /**
   * @param what   one sentence: what was found, what was wanted, the way out. No file name: `place` carries it
   * @param place  where it was found
   */
  constructor(what: string, place: Place = {}, options?: ErrorOptions) {
    super(placeText(place) + oneLine(what), options)
    this.name = new.target.name
    this.place = place
    this.what = what
  }
}

/** The command was typed wrongly: unknown option, missing argument, output that is an input. Exit 2. */
export class UsageError extends ToolkitError {
  readonly code = 'E_USAGE'
  readonly exitCode = 2
}

/** The bytes break the rules of their format; retrying cannot help. Exit 3. */
export class FormatError extends ToolkitError {
  readonly code = 'E_FORMAT'
  readonly exitCode = 3
}

/** Valid, but not supported here: the message names the feature and, where there is one, the way round. Exit 4. */
export class UnsupportedError extends ToolkitError {
  readonly code = 'E_UNSUPPORTED'
  readonly exitCode = 4
}

/** The file system said no: missing, no permission, full, already there. Exit 5. */
export class FileSystemError extends ToolkitError {
  readonly code = 'E_FILE_SYSTEM'
  readonly exitCode = 5
}

/** Adapter and base do not fit, or the values do not fit the output type (NaN, overflow). Exit 6. */
export class MismatchError extends ToolkitError {
  readonly code = 'E_MISMATCH'
  readonly exitCode = 6
}

/** What was written is not what was planned. Exit 7. */
export class VerificationError extends ToolkitError {
  readonly code = 'E_VERIFICATION'
  readonly exitCode = 7
}

/** Stopped by a signal or by the caller's AbortSignal. Exit 130 (SIGINT, AbortSignal) or 143 (SIGTERM). */
export class CancelledError extends ToolkitError {
  readonly code = 'E_CANCELLED'
  readonly exitCode: 130 | 143

  constructor(exitCode: 130 | 143 = 130) {
    super(exitCode === 143 ? 'stopped by SIGTERM; nothing was left behind.' : 'stopped; nothing was left behind.')
    this.exitCode = exitCode
  }
}

/** A broken promise of our own code: report it. Exit 1. */
export class InternalError extends ToolkitError {
  readonly code = 'E_INTERNAL'
  readonly exitCode = 1
}

/** An error as plain data, for the way from a worker to the main thread. */
export interface PlainError {
  readonly name: string
  readonly what: string
  readonly place: Place
  readonly stack: string | undefined
}

const CLASSES = new Map<string, new (what: string, place?: Place) => ToolkitError>(
  [UsageError, FormatError, UnsupportedError, FileSystemError, MismatchError, VerificationError, InternalError].map((one) => [one.name, one]),
)

/** Anything thrown, as plain data. */
export function plainError(error: unknown): PlainError {
  if (error instanceof ToolkitError) return { name: error.name, what: error.what, place: error.place, stack: error.stack }
  return {
    name: 'InternalError',
    what: error instanceof Error ? error.message : String(error),
    place: {},
    stack: error instanceof Error ? error.stack : undefined,
  }
}

/** The error that {@link plainError} took apart, with its class and the stack of where it was thrown. */
export function revivedError(plain: PlainError): ToolkitError {
  const error = new (CLASSES.get(plain.name) ?? InternalError)(plain.what, plain.place)
  if (plain.stack !== undefined) error.stack = plain.stack
  return error
}

/** Runs a check of a format's rule: an error that names no rule yet is of this one. */
export function ruled<T>(rule: string, check: () => T): T {
  try {
    const result = check()
    return result instanceof Promise ? (result.catch((error: unknown) => throwRuled(rule, error)) as T) : result // the same promise, or its like
  } catch (error) {
    return throwRuled(rule, error)
  }
}

function throwRuled(rule: string, error: unknown): never {
  if (!(error instanceof FormatError || error instanceof UnsupportedError) || error.place.rule !== undefined) throw error
  throw revivedError({ ...plainError(error), place: { ...error.place, rule } })
}

function placeText(place: Place): string {
  let text = place.file === undefined ? '' : printable(place.file)
  if (place.tensor !== undefined) text += `${text ? ': ' : ''}tensor ${quoted(place.tensor)}`
  if (place.offset !== undefined) text += ` at byte ${place.offset}${place.part === undefined ? '' : ` of ${printable(place.part)}`}`
  return text ? `${text}: ` : ''
}

/** Untrusted text for a message: JSON-quoted, so that control characters and escapes show, cut so that it stays short. */
export function quoted(text: string): string {
  const escaped = escapeUnprintable(JSON.stringify(cut(text)))
  return escaped.length <= SHOWN_CHARACTERS * 1.5 ? escaped : `${escaped.slice(0, SHOWN_CHARACTERS).replace(/\\[^"]{0,5}$/, '')}…" (${text.length})`
}

/** Untrusted text for a message, without quotes unless it needs them. */
export function printable(text: string): string {
  const short = cut(text)
  return /^[\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]*$/u.test(short) && !/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/u.test(short)
    ? short
    : escapeUnprintable(JSON.stringify(short))
}

/** Up to `most` names for a message, quoted, with a count of the rest. */
export function nameList(names: readonly string[], most = 5): string {
  const shown = names.slice(0, most).map(quoted).join(', ')
  return names.length > most ? `${shown} and ${names.length - most} more` : shown
}

function cut(text: string): string {
  return text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS - 12)}… (${text.length})`
}

// C1 controls, bidi overrides and DEL pass JSON.stringify but change what a terminal shows
function escapeUnprintable(text: string): string {
  return text.replace(/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function oneLine(text: string): string {
  return text.replace(/\s*[\r\n]+\s*/g, ' ').trim()
}
