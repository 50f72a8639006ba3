/**
 * Walks through a header of unknown length in windows: what enters is a ByteSource, what leaves are numbers and bytes.
 * Every length is checked against the bytes left in the file, and against the limit of a header, before memory is
 * taken; windows grow only after a whole one was used.
 */
import type { ByteSource } from '../../core/bytes.js'
import { FormatError, UnsupportedError } from '../../core/errors.js'
import { MAX_HEADER_BYTES } from './wire-types.js'

const FIRST_WINDOW_BYTES = 64 * 1024
const LARGEST_WINDOW_BYTES = 2 * 1024 * 1024

export class HeaderCursor {
  private readonly source: ByteSource
  private window = new Uint8Array(0)
  private view = new DataView(this.window.buffer)
  /** Position of the window in the file. */
  private start = 0
  /** Next byte in the window. */
  private at = 0
  private windowBytes = FIRST_WINDOW_BYTES

  constructor(source: ByteSource) {
    this.source = source
  }

  /** Offset of the next byte in the file. */
  get position(): number {
    return this.start + this.at
  }

  /** Bytes from the position to the end of the file. */
  get left(): number {
    return this.source.byteLength - this.position
  }

  /** Whether the next bytes are in the window, so that they can be taken without waiting. */
  has(bytes: number): boolean {
    return this.window.length - this.at >= bytes
  }

  /**
   * Proves that the file has that many more bytes and that they are within the limit of a header.
   * @param what  what they are, for the message: `the name of a tensor`
   * @throws FormatError, UnsupportedError
   */
  claim(bytes: number | bigint, what: string): void {
    if (bytes > this.left) {
      throw this.fault(`${what} takes ${bytes} bytes, but ${this.left} are left: the file is damaged or cut short (an unfinished download?).`)
    }
    if (this.position + Number(bytes) > MAX_HEADER_BYTES) {
      throw new UnsupportedError(`${what} takes ${bytes} bytes: headers of more than ${MAX_HEADER_BYTES} bytes are not supported.`, {
        file: this.source.name,
        offset: this.position,
      })
    }
  }

  /** Brings the next bytes into the window. @throws FormatError, UnsupportedError */
  async need(bytes: number, what: string): Promise<void> {
    if (this.has(bytes)) return
    this.claim(bytes, what)
    const kept = this.window.subarray(this.at)
    const length = Math.min(this.left, Math.max(bytes, this.windowBytes))
    const window = new Uint8Array(length)
    window.set(kept)
    await this.source.read(window.subarray(kept.length), this.position + kept.length)
    this.start = this.position
    this.at = 0
    this.window = window
    this.view = new DataView(window.buffer)
    this.windowBytes = Math.min(this.windowBytes * 2, LARGEST_WINDOW_BYTES)
  }

  /** Takes `bytes` bytes that are in the window; the view is valid until the next `need`. */
  take(bytes: number): Uint8Array {
    this.at += bytes
    return this.window.subarray(this.at - bytes, this.at)
  }

  /** Takes a number that is in the window. */
  number<N>(row: { readonly bytes: number; readonly read: (view: DataView, at: number) => N }): N {
    this.at += row.bytes
    return row.read(this.view, this.at - row.bytes)
  }

  async u32(what: string): Promise<number> {
    await this.need(4, what)
    this.at += 4
    return this.view.getUint32(this.at - 4, true)
  }

  async u64(what: string): Promise<bigint> {
    await this.need(8, what)
    this.at += 8
    return this.view.getBigUint64(this.at - 8, true)
  }

  /** Takes a u64 count of items that are in the window or after it, proving that at least `itemBytes` are left for each. */
  count(itemBytes: number, what: string): number {
    this.at += 8
    const low = this.view.getUint32(this.at - 8, true)
    const high = this.view.getUint32(this.at - 4, true)
    if (high !== 0) this.claim(((BigInt(high) << 32n) | BigInt(low)) * BigInt(itemBytes), what)
    const count = high * 2 ** 32 + low
    if (count * itemBytes > this.left || count * itemBytes > MAX_HEADER_BYTES - this.position) this.claim(count * itemBytes, what)
    return count
  }

  /** A string of at most what is left; the view is valid until the next `need`. */
  async bytes(what: string): Promise<Uint8Array> {
    if (!this.has(8)) await this.need(8, what)
    const length = this.count(1, what)
    if (!this.has(length)) await this.need(length, what)
    return this.take(length)
  }

  fault(what: string, offset = this.position): FormatError {
    return new FormatError(what, { file: this.source.name, offset })
  }
}
