/** libggml itself, called through koffi: the prebuilt library of the dev dependency node-llama-cpp. What it writes on x86-64 is the law. */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { EncodedType, ReadableType } from '../../src/core/arithmetic.js'
import { QUANT_TYPES } from '../../src/core/quant-types.js'
import { PROJECT } from './paths.js'

const PLATFORMS: Readonly<Record<string, { folder: string; file: string }>> = {
  'linux-x64': { folder: 'linux-x64', file: 'libggml-base.so' },
  'linux-arm64': { folder: 'linux-arm64', file: 'libggml-base.so' },
  'darwin-x64': { folder: 'mac-x64', file: 'libggml-base.dylib' },
  'darwin-arm64': { folder: 'mac-arm64-metal', file: 'libggml-base.dylib' },
  'win32-x64': { folder: 'win-x64', file: 'ggml-base.dll' },
  'win32-arm64': { folder: 'win-arm64', file: 'ggml-base.dll' },
}

export interface Libggml {
  /** Encodes rows of `cols` elements. */
  encode(type: EncodedType, from: Float32Array, into: Uint8Array, cols: number, importance?: Float32Array): void
  /** Reads halves or blocks as f32. */
  widen(type: ReadableType, from: Uint8Array, into: Float32Array): void
}

type Native = (...args: unknown[]) => unknown

/** Opens the library. @param path  another build of it @returns undefined where there is none for this platform */
export function openLibggml(path = stockLibrary()): Libggml | undefined {
  if (path === undefined || !existsSync(path)) return undefined
  const koffi = createRequire(import.meta.url)('koffi') as { load: (path: string) => { func: (prototype: string) => Native } }
  const library = koffi.load(path)
  const quantize = library.func(
    'size_t ggml_quantize_chunk(int type, const float *src, void *dst, int64_t start, int64_t rows, int64_t cols, const float *imatrix)',
  )
  const row = (name: string): Native => library.func(`void ${name}(const void *x, void *y, int64_t n)`)
  const narrow = { f16: row('ggml_fp32_to_fp16_row'), bf16: row('ggml_fp32_to_bf16_row_ref') }
  const readers = new Map<ReadableType, Native>()
  const reader = (type: ReadableType): Native => {
    const known = readers.get(type)
    if (known !== undefined) return known
    const name = type === 'F16' || type === 'BF16' ? `ggml_${type === 'F16' ? 'fp16' : 'bf16'}_to_fp32_row` : `dequantize_row_${type.replace('_k', '_K')}`
    const made = row(name)
    readers.set(type, made)
    return made
  }
  return {
    encode(type, from, into, cols, importance) {
      if (type === 'f16' || type === 'bf16') narrow[type](from, into, from.length)
      else quantize(QUANT_TYPES[type].id, from, into, 0, from.length / cols, cols, importance ?? null)
    },
    widen: (type, from, into) => void reader(type)(from, into, into.length),
  }
}

function stockLibrary(): string | undefined {
  const place = PLATFORMS[`${process.platform}-${process.arch}`]
  return place && join(PROJECT, 'node_modules', '@node-llama-cpp', place.folder, 'bins', place.folder, place.file)
}
