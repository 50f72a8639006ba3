/**
 * Where the outputs of one worker's tiles go: into one of two buffers, as long as they follow one another in their file, and from there into the file,
 * while more is computed into the other buffer. The bytes lie in memory as they will lie in the pages of the file, so that whole pages can go past the
 * page cache.
 */
import type { ByteSink } from '../core/bytes.js'
import type { Arena } from '../kernels/arena.js'
import { PAGE_BYTES } from './direct-writer.js'
import { openFileSink } from './file-sink.js'

/** Bytes that are written at once, where tiles are smaller. */
const WRITE_BYTES = 1_179_648

/** Outputs begin at multiples of it in memory, so that they can be seen as numbers. */
const NUMBER_BYTES = 4

/** Where a file of the plan is being written, its name for messages, and its size. */
export interface OutputFile {
  readonly path: string
  readonly name: string
  readonly byteLength: number
}

/** Outputs that follow one another, in a buffer. */
interface Piece {
  readonly file: number
  readonly position: number
  /** From where to where in the buffer. */
  readonly from: number
  to: number
}

/** Bytes of the two buffers. @param largest  bytes of the largest output of a tile */
export function outputBuffers(largest: number): number {
  return 2 * (Math.max(largest, WRITE_BYTES) + PAGE_BYTES)
}

export class TileOutputs {
  private readonly files: readonly OutputFile[]
  private readonly sinks = new Map<number, ByteSink>()
  private readonly buffers: readonly Uint8Array<ArrayBuffer>[]
  private current = 0
  private piece: Piece | undefined
  private writing: Promise<void> | undefined

  /** @param largest  bytes of the largest output of a tile */
  constructor(files: readonly OutputFile[], arena: Arena, largest: number) {
    this.files = files
    const byteLength = outputBuffers(largest) / 2
    this.buffers = [arena.takeAligned(byteLength, PAGE_BYTES), arena.takeAligned(byteLength, PAGE_BYTES)]
  }

  /**
   * Bytes of unknown content for what will lie at `position` of a file, fit to be seen as f32; what the caller has put there when it comes again will be written.
   * @throws FileSystemError, of what was written before
   */
  async take(file: number, position: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
    const { piece } = this
    const isNext = piece?.file === file && piece.position + piece.to - piece.from === position
    if (isNext && piece.to % NUMBER_BYTES === 0 && piece.to + byteLength <= this.room) return this.more(piece, byteLength)
    await this.send()
    const from = position % NUMBER_BYTES === 0 ? position % PAGE_BYTES : 0
    return this.more((this.piece = { file, position, from, to: from }), byteLength)
  }

  /** Writes what was taken, waiting for all before it. @throws FileSystemError */
  async finish(): Promise<void> {
    await this.send()
    await this.settle()
  }

  /** Waits for the disk, whatever became of it, and closes the files. */
  async close(): Promise<void> {
    await this.settle().catch(() => undefined)
    for (const sink of this.sinks.values()) sink.close()
    this.sinks.clear()
  }

  private get room(): number {
    return this.buffers[this.current]!.byteLength
  }

  private more(piece: Piece, byteLength: number): Uint8Array<ArrayBuffer> {
    const from = piece.to
    piece.to += byteLength
    return this.buffers[this.current]!.subarray(from, piece.to)
  }

  /** Begins to write the piece, when the one before it is written. */
  private async send(): Promise<void> {
    const { piece } = this
    if (piece === undefined) return
    this.piece = undefined
    await this.settle()
    this.writing = this.sinkOf(piece.file).write(this.buffers[this.current]!.subarray(piece.from, piece.to), piece.position)
    if (this.writing === undefined) return
    this.writing.catch(() => undefined) // whoever settles hears of it
    this.current = 1 - this.current
  }

  private async settle(): Promise<void> {
    const { writing } = this
    this.writing = undefined
    await writing
  }

  private sinkOf(file: number): ByteSink {
    const known = this.sinks.get(file)
    if (known !== undefined) return known
    const { path, name, byteLength } = this.files[file]!
    const sink = openFileSink(path, name, byteLength)
    this.sinks.set(file, sink)
    return sink
  }
}
