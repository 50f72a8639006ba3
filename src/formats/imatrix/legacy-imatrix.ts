/**
 * Importance matrices as llama-imatrix wrote them before GGUF (`imatrix.dat`). Everything is little-endian:
 *
 *   [i32 entries] entries x { [i32 name bytes][name][i32 calls][i32 values][f32 values ...] }
 *   [i32 chunks][i32 text bytes][text]      (may be missing, the text alone too)
 *
 * A weight is the value divided by the calls; where there were none, the value itself.
 *
 * Law: common/imatrix-loader.cpp `common_imatrix_load_legacy`, quantize.cpp `load_imatrix` (llama.cpp 0c1e570).
 * Division in f32.
 */
import type { ByteSource } from '../../core/bytes.js'
import { FormatError, quoted } from '../../core/errors.js'
import { decodeStrict } from '../gguf/byte-text.js'
import { checkValues, readFloats, ValueBudget, type Imatrix, type ImatrixEntry } from './imatrix-entry.js'

const LEAST_ENTRY_BYTES = 4 + 1 + 4 + 4 + 4
const MAX_NAME_BYTES = 255 // tensor names have up to 63
const MAX_TEXT_BYTES = 65_536 // the path of a text

export async function readLegacyImatrix(source: ByteSource): Promise<Imatrix> {
  const cursor = new Cursor(source)
  const count = await cursor.count('the number of entries', 1, Math.floor(cursor.left / LEAST_ENTRY_BYTES))
  const entries = new Map<string, ImatrixEntry>()
  const budget = new ValueBudget()
  for (let i = 0; i < count; i++) {
    const start = cursor.position
    const name = await cursor.text(`the name of entry ${i + 1}`, 1, MAX_NAME_BYTES)
    if (entries.has(name)) throw new FormatError(`the name ${quoted(name)} is there twice.`, { file: source.name, offset: start })
    entries.set(name, { values: await readEntry(cursor, name, budget) })
  }
  // the end may be missing
  const chunkCount = cursor.left === 0 ? 0 : await cursor.i32('the number of chunks')
  const dataset = cursor.left === 0 ? '' : await cursor.text('the name of the text', 0, MAX_TEXT_BYTES)
  if (cursor.left > 0) throw new FormatError(`${cursor.left} bytes follow the end.`, { file: source.name, offset: cursor.position })
  return { entries, datasets: dataset === '' ? [] : [dataset], chunkCount: Math.max(0, chunkCount) }
}

async function readEntry(cursor: Cursor, name: string, budget: ValueBudget): Promise<Float32Array> {
  const calls = await cursor.i32(`the calls of ${quoted(name)}`)
  const count = await cursor.count(`the number of values of ${quoted(name)}`, 1, Math.floor((cursor.left - 4) / 4))
  budget.take(4 * count, { file: cursor.file, tensor: name })
  const offset = cursor.position
  const values = await cursor.floats(count)
  checkValues(values, { file: cursor.file, tensor: name, offset })
  const divisor = Math.fround(calls)
  if (divisor > 0) values.forEach((value, i) => (values[i] = value / divisor))
  return values
}

/** Walks through the file; every length is checked against the bytes left before memory is taken. */
class Cursor {
  private readonly source: ByteSource
  position = 0

  constructor(source: ByteSource) {
    this.source = source
  }

  get file(): string {
    return this.source.name
  }

  get left(): number {
    return this.source.byteLength - this.position
  }

  async i32(what: string): Promise<number> {
    const bytes = await this.take(4, what)
    return new DataView(bytes.buffer).getInt32(0, true)
  }

  /** @throws FormatError when it is not from `least` to `most` */
  async count(what: string, least: number, most: number): Promise<number> {
    const offset = this.position
    const value = await this.i32(what)
    if (value >= least && value <= most) return value
    const reason = most < least ? 'the file is too short for any' : `${least} to ${most} are possible`
    throw new FormatError(`${what} is ${value}, but ${reason}: damaged, cut short, or no importance matrix.`, { file: this.file, offset })
  }

  async text(what: string, least: number, most: number): Promise<string> {
    const length = await this.count(`the length of ${what}`, least, most)
    const offset = this.position
    const text = decodeStrict(await this.take(length, what))
    if (text === undefined || text.includes('\0')) throw new FormatError(`${what} is not valid UTF-8, or holds a NUL.`, { file: this.file, offset })
    return text
  }

  async floats(count: number): Promise<Float32Array> {
    const values = await readFloats(this.source, this.position, count)
    this.position += 4 * count
    return values
  }

  private async take(bytes: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
    if (bytes > this.left)
      throw new FormatError(`${what} takes ${bytes} bytes, but ${this.left} are left: damaged or cut short.`, { file: this.file, offset: this.position })
    const into = new Uint8Array(bytes)
    await this.source.read(into, this.position)
    this.position += bytes
    return into
  }
}
