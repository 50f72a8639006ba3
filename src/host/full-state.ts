/**
 * Decides whether the weights of a full state dict hold the update of its factors already: where the base is another file, by comparing rows of both; else
 * the user has to say it. What was decided becomes a note of the adapter, and so stands in summary and receipt.
 */
import type { AdapterFile, SavedState } from '../adapters/adapter-file.js'
import { inState, withoutAliases } from '../adapters/full-state.js'
import { bindAdapter, type ResolveOptions } from '../adapters/resolve.js'
import type { Delta } from '../core/delta.js'
import { isPlainFloat, type PlainFloat } from '../core/dtypes.js'
import { MismatchError, nameList, quoted, UnsupportedError, UsageError } from '../core/errors.js'
import type { Model } from '../core/model.js'
import { lastPart } from '../core/paths.js'
import type { RowProgram } from '../core/row-program.js'
import { elementCount, rowShape, type RowShape } from '../core/shape.js'
import { placeOfTensor, type TensorInfo } from '../core/tensor-info.js'
import { withRows, type RowSampler } from '../engine/row-sampler.js'
import { compareSaved, sameValues, type SavedComparison } from '../merge/saved-state.js'
import { mergedProgram } from '../merge/variants.js'
import { sampleRows } from '../plan/sizes-sample.js'
import type { CommonOptions } from './options.js'

/** Tensors up to this size are compared whole. */
const COMPARED_WHOLE = 65_536
/** Rows that are looked for where the sample's updates are all zero: tokens that were never seen. */
const ROWS_WITH_UPDATES = 64

/** A weight of the file and what it is of. */
interface Compared {
  readonly target: string
  readonly saved: PlainTensor
  readonly base: PlainTensor
  /** Of its factors; empty for tensors without. */
  readonly updates: readonly Delta[]
}

type PlainTensor = TensorInfo & { readonly dtype: PlainFloat }

interface Opened {
  readonly file: AdapterFile
  readonly path: string
  readonly weight: number
}

/**
 * The adapter that an opened file is; one that holds no weights is as it is.
 * @param isBase  the file is the base's own
 * @throws UsageError when nothing tells the state; MismatchError when the weights are neither the base's nor those with the update
 */
export async function inKnownState(
  { file: opened, path, weight }: Opened,
  { base, isBase, isQuantized, bound }: { base: Model; isBase: boolean; isQuantized: boolean; bound: ResolveOptions },
  { state }: Pick<CommonOptions, 'state'>,
): Promise<AdapterFile> {
  if (opened.fullState === undefined) return opened
  const place = { file: path }
  if (isBase) return inState(opened, asTold(state, weight, path), { isBase, note: `${lastPart(path)} ${MEANING[state ?? 'train']}, as --state ${state} says` })
  if (base.gguf !== undefined || isQuantized)
    throw new UnsupportedError('is a full state dict: its weights replace those of a base in 16 or 32 bits, not those of a GGUF or a quantized model.', place)
  const file = withoutAliases(opened, (module) => hasPlaceFor({ ...inState(opened, 'eval', { isBase, note: undefined }), modules: [module] }, base, bound))
  if (weight === 0) return inState(file, 'eval', { isBase, note: undefined })
  if (file.fullState?.factors.length === 0)
    return inState(file, 'eval', { isBase, note: `${lastPart(path)} ${MEANING.eval}, as --state says; without --alpha this was not compared with the base` })
  const { tensors, others } = comparedOf(file, base, bound)
  const decided = decide(await compareAll(tensors), { said: state, path, alpha: file.fullState?.factors[0]?.alpha ?? Number.NaN })
  const changed = await changedOnes(others)
  const also = changed.length === 0 ? '' : `; of the other tensors ${changed.length} differ from the base's, the file's are taken: ${nameList(changed, 4)}`
  return inState(file, decided.state, { isBase, note: `${lastPart(path)} ${MEANING[decided.state]}: ${decided.why}${also}` })
}

function hasPlaceFor(one: AdapterFile, { tensors }: Model, options: ResolveOptions): boolean {
  try {
    bindAdapter(one, tensors, options)
    return true
  } catch (error) {
    if (error instanceof MismatchError) return false
    throw error
  }
}

const MEANING: { readonly [S in SavedState]: string } = {
  train: 'is a full state dict that was saved in train mode: its weights are without the update, which is added',
  eval: 'is a full state dict that was saved in eval mode: its weights hold the update already and are taken as they are, nothing is added',
}

/** What the user says where nothing can be compared. */
function asTold(state: SavedState | undefined, weight: number, path: string): SavedState {
  const place = { file: path }
  if (state === undefined)
    throw new UsageError(
      'holds weights and LoRA factors together and is the base too, so nothing tells whether B·A is in the weights already: say --state eval when the model was saved in eval mode, which adds it (the weights are taken as they are), --state train when it was saved in train mode (alpha / r · B·A is added). With the original model as BASE it is found out.',
      place,
    )
  if (state === 'eval' && weight !== 1)
    throw new UsageError(`has weight ${weight}, but with --state eval its update is in the weights already: leave the weight out.`, place)
  return state
}

/** Weights that have factors, with their updates, and the others. */
function comparedOf(file: AdapterFile, base: Model, options: ResolveOptions): { tensors: Compared[]; others: Compared[] } {
  const { deltas } = bindAdapter(inState(file, 'train', { isBase: false, note: undefined }), base.tensors, options)
  const updates = new Map<string, Delta[]>()
  for (const delta of deltas) if (delta.variant !== 'replace') updates.set(delta.target, [...(updates.get(delta.target) ?? []), delta])
  const all = deltas.flatMap((delta): Compared[] => {
    const original = base.tensors.get(delta.target)
    // an output that the base shares with its embedding has nothing to be compared with
    if (delta.variant !== 'replace' || original === undefined) return []
    const { target, tensor } = delta
    if (!isPlain(tensor)) throw new UnsupportedError(`is ${tensor.dtype}; weights in F32, F16 or BF16 can be merged.`, placeOfTensor(tensor))
    return isPlain(original) ? [{ target, saved: tensor, base: original, updates: updates.get(target) ?? [] }] : []
  })
  return { tensors: all.filter((one) => one.updates.length > 0), others: all.filter((one) => one.updates.length === 0) }
}

interface Judged extends SavedComparison {
  readonly target: string
  readonly rows: number
}

/** On sampled rows; where no update is seen on any of them, on rows that have one. */
async function compareAll(tensors: readonly Compared[]): Promise<Judged[]> {
  const judged: Judged[] = []
  for (const [i, one] of tensors.entries()) judged.push(await judge(one, () => rowsOf(one, i)))
  if (judged.some(({ verdict }) => verdict !== 'either')) return judged
  for (const [i, one] of tensors.entries()) {
    const again = await judge(one, (sampler, update) => rowsWithUpdates(sampler, update, one))
    if (again.rows > 0) judged[i] = again
    if (again.verdict !== 'either') break
  }
  return judged
}

async function judge({ target, saved, base, updates }: Compared, choose: (sampler: RowSampler, update: RowProgram) => readonly number[]): Promise<Judged> {
  const nothing: RowProgram = { op: 'fill', ...rowShape(saved.shape), value: 0 }
  const update = mergedProgram(
    nothing,
    updates.map((delta) => ({ delta, weight: 1, adapter: 0 })),
  )
  const [ours, theirs] = readings(saved, base)
  return withRows([ours, theirs, update], (sampler) => {
    const rows = choose(sampler, update)
    const values = { saved: sampler.rows(ours, rows), base: sampler.rows(theirs, rows), update: sampler.rows(update, rows) }
    return { target, rows: rows.length, ...compareSaved({ ...values, dtype: saved.dtype }) }
  })
}

function readings(saved: TensorInfo, base: TensorInfo): readonly [saved: RowProgram, base: RowProgram] {
  return [
    { op: 'read', tensor: saved },
    { op: 'read', tensor: base },
  ]
}

/** Rows that both have: a vocabulary may have grown. */
function commonShape({ saved, base }: Compared): RowShape {
  const [ours, theirs] = [rowShape(saved.shape), rowShape(base.shape)]
  return { rows: Math.min(ours.rows, theirs.rows), cols: ours.cols }
}

function rowsOf(one: Compared, seed: number): number[] {
  const shape = commonShape(one)
  return shape.rows * shape.cols <= COMPARED_WHOLE ? Array.from({ length: shape.rows }, (_, i) => i) : sampleRows(shape, seed)
}

function rowsWithUpdates(sampler: RowSampler, update: RowProgram, one: Compared): number[] {
  const { rows, cols } = commonShape(one)
  const found: number[] = []
  const step = Math.max(1, Math.floor(COMPARED_WHOLE / cols))
  for (let first = 0; first < rows && found.length < ROWS_WITH_UPDATES; first += step) {
    const block = Array.from({ length: Math.min(step, rows - first) }, (_, i) => first + i)
    const values = sampler.rows(update, block)
    found.push(...block.filter((_, i) => values.subarray(i * cols, (i + 1) * cols).some((value) => value !== 0)))
  }
  return found.slice(0, ROWS_WITH_UPDATES)
}

/** What the user says of a file. */
interface Told {
  readonly said: SavedState | undefined
  readonly path: string
  readonly alpha: number
}

/** @throws MismatchError, UsageError when it cannot be told */
function decide(judged: readonly Judged[], { said, path, alpha }: Told): { state: SavedState; why: string } {
  const stranger = judged.find(({ verdict }) => verdict === 'neither')
  if (stranger !== undefined)
    throw new MismatchError(
      `its weights are neither the base's (saved in train mode) nor the base's plus alpha / r · B·A (saved in eval mode): rounding explains a few units of the last place, they are ${amount(stranger.fromBase)} and ${amount(stranger.fromSum)} away. ${guess(stranger, alpha)}`,
      { file: path, tensor: stranger.target },
    )
  const [train, evaluated] = [judged.find(({ verdict }) => verdict === 'train'), judged.find(({ verdict }) => verdict === 'eval')]
  if (train !== undefined && evaluated !== undefined)
    throw new MismatchError(`its update is in ${quoted(evaluated.target)} already, but not in ${quoted(train.target)}: a model is saved in one mode.`, {
      file: path,
    })
  const found = train === undefined ? evaluated : train
  const rows = judged.reduce((sum, one) => sum + one.rows, 0)
  const looked = `compared with the base on ${rows} rows of ${judged.length} tensors`
  if (found === undefined) return withoutDifference(judged, said, looked, path)
  const state = found === train ? 'train' : 'eval'
  if (said !== undefined && said !== state)
    throw new MismatchError(
      `--state says ${said}, but its weights are ${state === 'eval' ? "the base's plus alpha / r · B·A" : "the base's"}: it was saved in ${state} mode.`,
      {
        file: path,
        tensor: found.target,
      },
    )
  return { state, why: looked }
}

/** The update is nothing, or so small that rounding hides it. */
function withoutDifference(judged: readonly Judged[], said: SavedState | undefined, looked: string, path: string): { state: SavedState; why: string } {
  if (!judged.some(({ updates }) => updates)) return { state: said ?? 'eval', why: `B·A is zero, so both modes are the same (${looked})` }
  if (said !== undefined) return { state: said, why: `as --state says; the update is too small to be seen beside rounding (${looked})` }
  throw new UsageError(
    `whether B·A is in its weights cannot be seen: it is smaller than what rounding changes (${looked}). Say --state eval when it is in them, --state train when it is to be added.`,
    { file: path },
  )
}

/** Names of tensors without factors that were trained too, as far as the rows that are looked at show. */
async function changedOnes(others: readonly Compared[]): Promise<string[]> {
  const changed: string[] = []
  for (const [i, one] of others.entries()) {
    const programs = readings(one.saved, one.base)
    const isSame = await withRows(programs, (sampler) => {
      const rows = rowsOf(one, i)
      return sameValues(sampler.rows(programs[0], rows), one.saved.dtype, sampler.rows(programs[1], rows), one.base.dtype)
    })
    if (!isSame || elementCount(one.saved.shape) !== elementCount(one.base.shape)) changed.push(one.target)
  }
  return changed
}

function isPlain(tensor: TensorInfo): tensor is PlainTensor {
  return isPlainFloat(tensor.dtype)
}

/** What may be wrong: the base is another, or alpha. */
function guess({ share }: Judged, alpha: number): string {
  if (share === undefined || Math.abs(share - 1) < 1e-3) return 'Is it the base that was trained, and --alpha the right one?'
  return `They are the base's plus ${share.toPrecision(3)} of the update: is --alpha ${Number((alpha * share).toPrecision(3))} meant?`
}

const amount = (units: number): string => (units < 1e15 ? String(Math.ceil(units)) : 'very far')
