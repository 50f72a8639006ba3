/**
 * TinyLoRA: which of the shared vectors each module has. The file does not say it; it follows from the module's place in the model. That place is
 * the seed of its random matrices, so these tell it: no guess at the order of modules in a class.
 *
 * Law: PEFT 0.21.2 tuners/tinylora/model.py `_create_and_replace` (groups), layer.py `_init_projection` (seed + place).
 */
import { MismatchError, quoted, UnsupportedError } from '../../core/errors.js'
import { elementCount } from '../../core/shape.js'
import { placeOfTensor, type TensorInfo } from '../../core/tensor-info.js'
import { firstNormals } from './torch-random.js'
import { roundHalfEven } from '../../core/float32.js'

/** Reads the first elements of a tensor; undefined where that cannot be done before the run (deflated archives). */
export type ReadFirst = (tensor: TensorInfo, count: number) => Promise<readonly number[] | undefined>

const CLOSE = 0.02 // of one standard deviation: bf16 files have three digits
const MOST_COMPARED = 16

/**
 * @param projections  tinylora_P (vectors x rank x rank) by module
 * @param seed         projection_seed
 * @param tying        weight_tying: 0 a vector for each module, 1 one for all
 * @param vectors      how many shared vectors the file has
 * @returns number of the vector by module
 * @throws UnsupportedError when the matrices were not made from the seed
 */
export async function tinyLoraGroups(
  projections: ReadonlyMap<string, TensorInfo>,
  { seed, tying, vectors }: { readonly seed: number; readonly tying: number; readonly vectors: number },
  read: ReadFirst,
): Promise<ReadonlyMap<string, number>> {
  if (vectors < 2) return new Map()
  const count = projections.size
  const groups = Math.max(1, roundHalfEven(count * (1 - tying)))
  const groupSize = Math.max(1, Math.floor(count / groups))
  const drawn = new Map<number, readonly (readonly number[])[]>() // by size of the matrices, which seldom differ
  const places = new Map<number, string>()
  const found = new Map<string, number>()
  for (const [module, tensor] of projections) {
    const size = elementCount(tensor.shape)
    const normals = drawn.get(size) ?? Array.from({ length: count }, (_, place) => firstNormals(seed + place, size))
    drawn.set(size, normals)
    const place = await placeOf(tensor, normals, read)
    if (place === undefined) throw unknownPlace(module, tensor, seed)
    const other = places.get(place)
    if (other !== undefined) throw new MismatchError(`has the random matrices of module ${quoted(other)} too.`, placeOfTensor(tensor))
    places.set(place, module)
    found.set(module, Math.min(Math.floor(place / groupSize), groups - 1))
  }
  return found
}

async function placeOf(tensor: TensorInfo, normals: readonly (readonly number[])[], read: ReadFirst): Promise<number | undefined> {
  const values = await read(tensor, Math.min(elementCount(tensor.shape), MOST_COMPARED))
  const hits = values === undefined ? [] : [...normals.keys()].filter((place) => isMadeFrom(values, normals[place] ?? [], tensor.shape[1] ?? 1))
  return hits.length === 1 ? hits[0] : undefined
}

function unknownPlace(module: string, tensor: TensorInfo, seed: number): UnsupportedError {
  return new UnsupportedError(
    `does not tell which of the shared vectors module ${quoted(module)} has: its numbers are not those of "projection_seed" ${seed}. Merge it with PEFT.`,
    placeOfTensor(tensor),
  )
}

/** Their standard deviation is 1 / √rank. */
function isMadeFrom(values: readonly number[], normals: readonly number[], rank: number): boolean {
  return normals.length > 0 && normals.every((normal, i) => Math.abs((values[i] ?? Number.NaN) * Math.sqrt(rank) - normal) < CLOSE)
}
