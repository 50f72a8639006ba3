/**
 * Importance matrices as GGUF: of each tensor the sums of the squares of its input, `NAME.in_sum2` (matrices x columns),
 * and how many inputs each matrix saw, `NAME.counts` (matrices x 1). The weight is their quotient; a matrix that saw no
 * input weighs all columns alike.
 *
 * Law: common/imatrix-loader.cpp `common_imatrix_load`, quantize.cpp `load_imatrix` (llama.cpp 0c1e570). Division in f32.
 */
import type { ByteSource } from '../../core/bytes.js'
import { FormatError, quoted } from '../../core/errors.js'
import type { MetadataValue } from '../../core/key-value.js'
import { elementCount } from '../../core/shape.js'
import { readGgufHeader } from '../gguf/header.js'
import type { GgufTensor } from '../gguf/tensor-list.js'
import { checkValues, readFloats, ValueBudget, type Imatrix, type ImatrixEntry } from './imatrix-entry.js'

const SUMS = '.in_sum2'
const COUNTS = '.counts'

export async function readGgufImatrix(source: ByteSource): Promise<Imatrix> {
  const file = source.name
  const { keyValues, tensors } = await readGgufHeader(source)
  const values = new Map(keyValues.map(({ key, value }) => [key, value]))
  checkKind(values.get('general.type'), file)
  const datasets = textsOf(values.get('imatrix.datasets'), file)
  const chunkCount = countOf('imatrix.chunk_count', values, file)
  countOf('imatrix.chunk_size', values, file)

  const entries = new Map<string, ImatrixEntry>()
  const budget = new ValueBudget()
  for (const { name, sums, counts } of pairs(tensors, file)) {
    budget.take(sums.byteLength + counts.byteLength, { file, tensor: name })
    entries.set(name, { values: await readEntry(source, sums, counts) })
  }
  return { entries, datasets, chunkCount }
}

function checkKind(type: MetadataValue | undefined, file: string): void {
  if (type === undefined || (type.type === 'string' && type.value === 'imatrix')) return
  throw new FormatError(`is a GGUF file of type ${type.type === 'string' ? quoted(type.value) : type.type}, not an importance matrix ("imatrix").`, { file })
}

function textsOf(value: MetadataValue | undefined, file: string): readonly string[] {
  if (value?.type === 'array' && value.items === 'string') return value.value
  throw new FormatError(
    `has no list of texts "imatrix.datasets": it is no importance matrix${value === undefined ? '' : `, or a damaged one (found ${value.type})`}.`,
    { file },
  )
}

function countOf(key: string, values: ReadonlyMap<string, MetadataValue>, file: string): number {
  const value = values.get(key)
  // the reference keeps it in an i32
  if (value?.type === 'u32' && value.value < 2 ** 31) return value.value
  throw new FormatError(`has no u32 ${quoted(key)} below 2^31 (found ${value === undefined ? 'nothing' : value.type === 'u32' ? value.value : value.type}).`, {
    file,
  })
}

interface Pair {
  readonly name: string
  readonly sums: GgufTensor
  readonly counts: GgufTensor
}

/** Sums and counts that belong together; tensors of other names are none of ours. */
function pairs(tensors: readonly GgufTensor[], file: string): Pair[] {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  const names = new Set(tensors.flatMap(({ name }) => [SUMS, COUNTS].filter((suffix) => name.endsWith(suffix)).map((suffix) => name.slice(0, -suffix.length))))
  return [...names].map((name) => {
    const sums = byName.get(name + SUMS)
    const counts = byName.get(name + COUNTS)
    if (sums === undefined || counts === undefined)
      throw new FormatError(`has ${sums === undefined ? 'counts' : 'sums'} only; sums and counts are wanted.`, { file, tensor: name })
    for (const { name: tensor, type } of [sums, counts]) if (type !== 'f32') throw new FormatError(`has type ${type}; f32 is wanted.`, { file, tensor })
    const matrices = elementCount(counts.shape)
    if (matrices === 0 || elementCount(sums.shape) === 0 || elementCount(sums.shape) % matrices !== 0) {
      throw new FormatError(`has ${elementCount(sums.shape)} sums for ${matrices} counts; as many are wanted for each count.`, { file, tensor: name })
    }
    return { name, sums, counts }
  })
}

async function readEntry(source: ByteSource, sums: GgufTensor, counts: GgufTensor): Promise<Float32Array> {
  const values = await readFloats(source, sums.offset, sums.byteLength / 4)
  checkValues(values, { file: source.name, tensor: sums.name, offset: sums.offset })
  const seen = await readFloats(source, counts.offset, counts.byteLength / 4)
  checkValues(seen, { file: source.name, tensor: counts.name, offset: counts.offset })
  const cols = values.length / seen.length
  seen.forEach((count, matrix) => {
    const part = values.subarray(matrix * cols, (matrix + 1) * cols)
    const whole = Math.fround(Math.floor(count + 0.5)) // lround
    if (whole > 0) part.forEach((sum, i) => (part[i] = sum / whole))
    else part.fill(1)
  })
  return values
}
