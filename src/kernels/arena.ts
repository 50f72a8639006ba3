/**
 * Who owns which bytes of a worker's memory. The kernels work on one WebAssembly memory per worker, which is never shared and never grows (growing
 * would cut off every array that looks into it): the engine asks for as much as its largest tile will need, and pages that nobody touches cost nothing.
 *
 *   0        1 Ki      32 Ki    64 Ki    320 Ki                                  end
 *   | unused | scratch | tables | stage  | taken →        … free …       ← kept  |
 *              of the    of the   for      a stack: the tile and           the factors
 *              kernels   module   arrays   what is computed in it          of the tensor
 *                                 from
 *                                 outside
 *
 * What finds no room any more is given ordinary memory instead: kernels take such arrays through the stage, piece by piece.
 */

/** Kernels read and write whole cache lines, and their vectors never straddle two. */
const ALIGNMENT = 64

export class Arena {
  private readonly buffer: ArrayBuffer
  private readonly end: number
  private taken: number
  private kept: number

  /** @param start, end  the bytes of `buffer` that may be given out */
  constructor(buffer: ArrayBuffer, start: number, end: number) {
    this.buffer = buffer
    this.taken = alignedUp(start)
    this.end = alignedDown(end)
    this.kept = this.end
  }

  /** Where the stack of taken bytes ends: to be handed to `release`. */
  mark(): number {
    return this.taken
  }

  /** Gives bytes of unknown content, the caller's until the mark from before is released. */
  take(byteLength: number): Uint8Array<ArrayBuffer> {
    if (!this.hasRoom(byteLength)) return new Uint8Array(byteLength)
    const bytes = new Uint8Array(this.buffer, this.taken, byteLength)
    this.taken += alignedUp(byteLength)
    return bytes
  }

  /** The same, from a multiple of `alignment` on: memories of kernels begin at a page of the machine's. */
  takeAligned(byteLength: number, alignment: number): Uint8Array<ArrayBuffer> {
    const before = this.taken
    this.taken = alignedUp(before, alignment)
    if (this.hasRoom(byteLength)) return this.take(byteLength)
    this.taken = before
    return new Uint8Array(byteLength)
  }

  /** Takes back everything that was taken since. */
  release(mark: number): void {
    this.taken = mark
  }

  /** Gives bytes of unknown content, the caller's until `forget`. */
  keep(byteLength: number): Uint8Array<ArrayBuffer> {
    if (!this.hasRoom(byteLength)) return new Uint8Array(byteLength)
    this.kept -= alignedUp(byteLength)
    return new Uint8Array(this.buffer, this.kept, byteLength)
  }

  /** Takes back everything that was kept. */
  forget(): void {
    this.kept = this.end
  }

  hasRoom(byteLength: number): boolean {
    return this.taken + alignedUp(byteLength) <= this.kept
  }

  /** Whether an array lies in this memory, so that kernels can work on it where it stands. */
  holds(array: ArrayBufferView): boolean {
    return array.buffer === this.buffer
  }
}

function alignedUp(bytes: number, alignment = ALIGNMENT): number {
  return Math.ceil(bytes / alignment) * alignment
}

function alignedDown(bytes: number): number {
  return Math.floor(bytes / ALIGNMENT) * ALIGNMENT
}
