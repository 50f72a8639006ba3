/** The project's own quantizer vectors, fixtures/quants: what libggml writes and reads; made by fixtures/make/quant_vectors.py. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BLOCK_FORMATS, type BlockType } from '../../src/quantize/block-formats.js'
import { FIXTURES } from './paths.js'

type Section = 'plain' | 'importance' | 'blocks' | 'decoded'

interface Index {
  readonly rows: readonly string[]
  readonly cols: number
  readonly types: Readonly<Record<BlockType, Readonly<Partial<Record<Section, readonly [offset: number, bytes: number]>>>>>
}

const FOLDER = join(FIXTURES, 'quants')
const INDEX = JSON.parse(readFileSync(join(FOLDER, 'vectors.json'), 'utf8')) as Index

/** Every type that there are vectors, an encoder and a decoder for. */
export const BLOCK_TYPES = Object.keys(BLOCK_FORMATS) as BlockType[]

/** What each row is about. */
export const ROW_NAMES = INDEX.rows
export const COLS = INDEX.cols

/** ROW_NAMES.length rows of COLS. */
export const INPUTS = readFloats(join(FOLDER, 'inputs.f32'))

/** A weight for each column, zeros among them. */
export const IMPORTANCE = readFloats(join(FOLDER, 'importance.f32'))

/** Bytes of a section, or undefined where the type has none. */
export function vectorSection(type: BlockType, section: Section): Uint8Array | undefined {
  const place = INDEX.types[type][section]
  return place && Uint8Array.from(readFileSync(join(FOLDER, `${type}.bin`)).subarray(place[0], place[0] + place[1]))
}

export function readFloats(file: string): Float32Array {
  return new Float32Array(Uint8Array.from(readFileSync(file)).buffer)
}
