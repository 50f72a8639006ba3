/**
 * Reads an importance matrix: for each tensor, how much each column of its input mattered on some text. What
 * `llama-imatrix` writes, as GGUF or in the older form.
 *
 * Law: common/imatrix-loader.cpp, tools/quantize/quantize.cpp `load_imatrix`, `prepare_imatrix` (llama.cpp 0c1e570).
 * Stricter: every weight is a finite number and not negative, names are unique, no byte is left over.
 */
import type { ByteSource } from '../../core/bytes.js'
import { FormatError, quoted, UsageError } from '../../core/errors.js'
import { readGgufImatrix } from './gguf-imatrix.js'
import type { Imatrix } from './imatrix-entry.js'
import { readLegacyImatrix } from './legacy-imatrix.js'

/** @throws FormatError when the file is damaged or no importance matrix, UnsupportedError as readGgufHeader */
export async function readImatrix(source: ByteSource): Promise<Imatrix> {
  const magic = new Uint8Array(Math.min(4, source.byteLength))
  await source.read(magic, 0)
  const imatrix = String.fromCharCode(...magic) === 'GGUF' ? await readGgufImatrix(source) : await readLegacyImatrix(source)
  if (imatrix.entries.size === 0) throw new FormatError('holds no weights for any tensor.', { file: source.name })
  return imatrix
}

/** Parts of tensor names, as the options --include-weights and --exclude-weights take them. */
export interface WeightSelection {
  readonly include?: readonly string[]
  readonly exclude?: readonly string[]
}

/**
 * The same matrix with some entries only. It may become empty; then nothing of it is used.
 * @throws UsageError when both are given, or a part of a name fits no entry
 */
export function selectWeights(imatrix: Imatrix, { include = [], exclude = [] }: WeightSelection): Imatrix {
  if (include.length > 0 && exclude.length > 0) throw new UsageError('--include-weights and --exclude-weights cannot be used together.')
  const names = [...imatrix.entries.keys()]
  const unused = [...include, ...exclude].find((part) => !names.some((name) => name.includes(part)))
  if (unused !== undefined)
    throw new UsageError(`${include.length > 0 ? '--include-weights' : '--exclude-weights'} ${quoted(unused)} fits no name in the importance matrix.`)
  const kept = (name: string): boolean => (include.length > 0 ? include.some((part) => name.includes(part)) : !exclude.some((part) => name.includes(part)))
  return { ...imatrix, entries: new Map([...imatrix.entries].filter(([name]) => kept(name))) }
}
