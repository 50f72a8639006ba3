/**
 * Tensors of an adapter for a diffusion pipeline -> its modules with ranks and scales. Every rule that needs no base is checked
 * here: factors are complete, no tensor is empty or left over, alphas are numbers.
 *
 * Law: sd-scripts networks/lora.py `create_network_from_weights` (alpha / rank; without alpha, 1); LyCORIS 4.1 (the alpha of
 * rsLoRA is stored so that alpha / rank is right); diffusers 0.42 utils/peft_utils.py `get_peft_kwargs`.
 * Stricter here: these skip what they cannot place.
 */
import { isPlainFloat } from '../../core/dtypes.js'
import { FormatError, MismatchError, quoted, UnsupportedError } from '../../core/errors.js'
import { shapeText } from '../../core/shape.js'
import type { TensorInfo } from '../../core/tensor-info.js'
import type { AdapterModule } from '../adapter-file.js'
import { splitDiffusionKey, type DiffusionKey, type DiffusionRole } from './diffusion-keys.js'
import { DIFFUSION_KINDS, DIFFUSION_ROLE_KEYS, REFUSED_KEYS, type DiffusionKindRow } from './diffusion-kinds.js'
import type { DiffusionMetadata } from './diffusion-metadata.js'
import type { SmallTensors } from '../small-tensors.js'

type Factors = Map<DiffusionRole, TensorInfo>

interface Group extends Omit<DiffusionKey, 'role'> {
  readonly factors: Factors
}

/** Read while planning, no factors. */
const SWITCHES: ReadonlySet<DiffusionRole> = new Set<DiffusionRole>(['alpha', 'onInput', 'restSize'])
/** Of any type that integers have. */
const INTEGERS: ReadonlySet<DiffusionRole> = new Set<DiffusionRole>(['restPositions'])

/** @throws MismatchError, UnsupportedError, FormatError naming the tensor */
export async function readDiffusionModules(
  tensors: readonly TensorInfo[],
  metadata: DiffusionMetadata,
  small: SmallTensors,
  file: string,
): Promise<AdapterModule[]> {
  const modules: AdapterModule[] = []
  for (const group of groupByModule(tensors, file).values()) {
    const row = rowOf(group.factors, file)
    checkFactors(row, group.factors, file)
    modules.push(await readModule(row, group, metadata, small, file))
  }
  return modules
}

async function readModule(row: DiffusionKindRow, group: Group, metadata: DiffusionMetadata, small: SmallTensors, file: string): Promise<AdapterModule> {
  const { component, module: name, isFlattened, factors } = group
  const [first] = factors.values()
  const place = { file, tensor: first?.name ?? '' }
  const rank = row.rank?.(factors) ?? 0
  const stored = factors.get('alpha')
  const alpha = stored === undefined || row.rank === undefined ? undefined : await readAlpha(stored, small, file)
  const configured = metadata.scaleOf(component, name, { rank, alpha, hasMagnitude: factors.has('magnitude') }, place)
  if (metadata.isRankStabilized && row.alpha === 'idle')
    throw new UnsupportedError(`is ${row.name} of two whole factors trained with rs_lora, whose scale LyCORIS does not store: train it without.`, place)
  const divisor = metadata.isRankStabilized && row.alpha === 'given' ? Math.sqrt(rank) : rank
  const scale = row.rank === undefined ? 1 : (configured ?? (alpha === undefined ? 1 : alpha / divisor))
  if (!Number.isFinite(Math.fround(scale))) throw new FormatError(`alpha ${alpha} gives module ${quoted(name)} a scale too large for f32.`, place)
  const [onInput, size] = [factors.get('onInput'), factors.get('restSize')]
  const kept = new Map([...factors].filter(([role]) => !SWITCHES.has(role)))
  return {
    kind: row.kind,
    name,
    factors: kept,
    rank,
    alpha: alpha ?? rank * scale,
    scale,
    isFlattened,
    ...(row.rank !== undefined && configured === undefined && alpha === undefined && !isFlattened ? { isScaleAssumed: true } : {}),
    ...(component === undefined ? {} : { component }),
    ...(onInput === undefined ? {} : { actsOnInputs: (await small.scalar(onInput)) !== 0 }),
    ...(row.alpha === 'constraint' ? { options: new Map([['constraint', await readConstraint(stored, small, file)]]) } : {}),
    ...(size === undefined ? {} : { options: new Map((await small.numbers(size)).map((count, i) => [`rest.${i}`, count])) }),
  }
}

async function readAlpha(tensor: TensorInfo, small: SmallTensors, file: string): Promise<number> {
  const alpha = await small.scalar(tensor)
  if (Number.isFinite(alpha) && alpha !== 0) return alpha
  const why = alpha === 0 ? 'sd-scripts takes that for the rank when it trains, and for nothing when it merges' : 'the file is broken'
  throw new MismatchError(`alpha is ${alpha}: ${why}. Store the alpha that is meant.`, { file, tensor: tensor.name })
}

/** How long a rotation may be, for each output; 0: as long as it is. sd-scripts has no such value: with alpha 0 it trains nothing. */
async function readConstraint(tensor: TensorInfo | undefined, small: SmallTensors, file: string): Promise<number> {
  const constraint = tensor === undefined ? 0 : await small.scalar(tensor)
  const isOfKohya = tensor?.name.startsWith('oft_unet_') === true
  if (Number.isFinite(constraint) && (isOfKohya ? constraint > 0 : constraint >= 0)) return constraint
  const why = `alpha, the constraint of a rotation, is ${constraint}; ${isOfKohya ? 'more than 0' : '0 or more'} is wanted. Store the one that it was trained with.`
  throw new MismatchError(why, { file, tensor: tensor?.name ?? '' })
}

/** Takes all keys apart. @throws MismatchError when one is unknown, or says the same as another */
function groupByModule(tensors: readonly TensorInfo[], file: string): Map<string, Group> {
  const groups = new Map<string, Group>()
  for (const tensor of tensors) {
    const place = { file, tensor: tensor.name }
    const key = splitDiffusionKey(tensor.name)
    if (key === undefined) throw unknownKey(tensor.name, file)
    const { role, ...where } = key
    const id = `${where.component ?? ''}/${where.module}`
    const group = groups.get(id) ?? { ...where, factors: new Map() }
    groups.set(id, group)
    const other = group.factors.get(role)
    if (other !== undefined) throw new MismatchError(`says the same as ${quoted(other.name)}: one of them would be left over.`, place)
    group.factors.set(role, tensor)
  }
  return groups
}

function unknownKey(tensor: string, file: string): MismatchError | UnsupportedError {
  const refused = REFUSED_KEYS.find(({ pattern }) => pattern.test(tensor))
  if (refused !== undefined) return new UnsupportedError(`${refused.why}.`, { file, tensor })
  const text = 'is no tensor of a kohya, LyCORIS or diffusers adapter (its key is spelled like nothing known), so it would be left over.'
  return new MismatchError(text, { file, tensor })
}

function rowOf(factors: Factors, file: string): DiffusionKindRow {
  const [first] = factors.values()
  const place = { file, tensor: first?.name ?? '' }
  const complete = DIFFUSION_KINDS.find(({ needs, fits }) => needs.every((role) => factors.has(role)) && (fits?.(factors) ?? true))
  if (complete !== undefined) {
    const known = new Set([...complete.needs, ...complete.may])
    for (const [role, tensor] of factors)
      if (!known.has(role))
        throw new MismatchError(`has no business with ${complete.name}, which its module was trained with, so it would be left over.`, {
          file,
          tensor: tensor.name,
        })
    return complete
  }
  const begun = DIFFUSION_KINDS.find(({ needs }) => needs.some((role) => factors.has(role)))
  const missing = begun?.needs.find((role) => !factors.has(role))
  const lacking =
    missing === undefined
      ? 'is alone: none of the factors of its module is in the file'
      : `has no partner ${DIFFUSION_ROLE_KEYS[missing] ?? missing} in the file`
  throw new MismatchError(`${lacking}, so its update is unknown: the file is incomplete, save the adapter again.`, place)
}

function checkFactors(row: DiffusionKindRow, factors: Factors, file: string): void {
  for (const [role, tensor] of factors) {
    const place = { file, tensor: tensor.name }
    if (tensor.shape.includes(0)) throw new MismatchError(`is empty (shape ${shapeText(tensor.shape)}): save the adapter again.`, place)
    if (!SWITCHES.has(role) && !INTEGERS.has(role) && !isPlainFloat(tensor.dtype))
      throw new UnsupportedError(`has dtype ${tensor.dtype}; F32, F16 or BF16 is wanted.`, place)
    if (row.rank !== undefined && MATRICES.has(role) && tensor.shape.length < 2)
      throw new MismatchError(`has shape ${shapeText(tensor.shape)} where a matrix of two dimensions is wanted.`, place)
  }
}

/** Those that are multiplied as matrices. */
const MATRICES: ReadonlySet<DiffusionRole> = new Set<DiffusionRole>([
  ...(['A', 'B', 'hada1A', 'hada1B', 'hada2A', 'hada2B', 'lokr1A', 'lokr1B', 'lokr2A', 'lokr2B'] as const),
  ...(['gloraA1', 'gloraA2', 'gloraB1', 'gloraB2'] as const),
])
