/** Reads the arguments of pickle opcodes; every length is checked against the bytes that are left before anything is taken. */
import { FormatError, type Place } from '../../core/errors.js'

const MOST_LONG_BYTES = 4096 // a Python int of 32,768 bits; sizes and seeds need 8 to 16 bytes

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Where a pickle lies, for messages. */
export interface PicklePlace {
  readonly file: string
  /** The archive's record, or undefined when offsets count in the file itself. */
  readonly part: string | undefined
  /** Added to offsets in the bytes. */
  readonly base: number
}

export class PickleReader {
  position: number
  readonly end: number
  private readonly bytes: Uint8Array
  private readonly view: DataView
  private readonly at: PicklePlace

  constructor(bytes: Uint8Array, position: number, at: PicklePlace) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.position = position
    this.end = bytes.byteLength
    this.at = at
  }

  place(offset = this.position): Place {
    const { file, part, base } = this.at
    return { file, offset: base + offset, ...(part === undefined ? {} : { part }) }
  }

  fault(what: string, offset = this.position): FormatError {
    return new FormatError(what, this.place(offset))
  }

  u8(): number {
    return this.view.getUint8(this.advance(1))
  }

  u16(): number {
    return this.view.getUint16(this.advance(2), true)
  }

  u32(): number {
    return this.view.getUint32(this.advance(4), true)
  }

  i32(): number {
    return this.view.getInt32(this.advance(4), true)
  }

  i64(): bigint {
    return this.view.getBigInt64(this.advance(8), true)
  }

  /** A length of eight bytes: more than the file has is refused, so that it is exact. */
  u64(): number {
    const length = this.view.getBigUint64(this.advance(8), true)
    if (length > BigInt(this.end)) throw this.tooLong(length)
    return Number(length)
  }

  /** Big-endian, as pickles have it. */
  f64(): number {
    return this.view.getFloat64(this.advance(8), false)
  }

  /** A part of the pickle itself, not a copy. */
  take(length: number): Uint8Array {
    const from = this.advance(length)
    return this.bytes.subarray(from, from + length)
  }

  text(length: number): string {
    const from = this.position
    const bytes = this.take(length)
    try {
      return strictUtf8.decode(bytes)
    } catch {
      throw this.fault('holds a text that is not UTF-8.', from)
    }
  }

  /** A text of Python 2, which has no encoding: text where it is UTF-8, else bytes. */
  oldText(length: number): string | Uint8Array {
    const bytes = this.take(length)
    try {
      return strictUtf8.decode(bytes)
    } catch {
      return bytes
    }
  }

  /** Up to a line feed, which is taken too. */
  line(): string {
    const stop = this.bytes.indexOf(0x0a, this.position)
    if (stop < 0) throw this.fault('holds a name without its end: the file is cut short, or no pickle.')
    const text = this.text(stop - this.position)
    this.position = stop + 1
    return text
  }

  /** Little-endian two's complement of any length. */
  long(length: number): bigint {
    if (length > MOST_LONG_BYTES) throw this.fault(`holds an integer of ${length} bytes; at most ${MOST_LONG_BYTES} are read.`)
    const bytes = this.take(length)
    if (length === 0) return 0n
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'))
    return BigInt.asIntN(length * 8, BigInt(`0x${hex.reverse().join('')}`))
  }

  private advance(length: number): number {
    if (length > this.end - this.position) throw this.tooLong(length)
    const from = this.position
    this.position += length
    return from
  }

  private tooLong(length: number | bigint): FormatError {
    return this.fault(`wants ${length} bytes, ${this.end - this.position} are left: the file is cut short or damaged.`)
  }
}
