/**
 * A row of an architecture's table at work: some tensors of a checkpoint, and the tensors of a GGUF file that are made of
 * them. It runs both ways, on programs of any kind: on stored rows, on merged ones, on what an adapter adds.
 */
import { InternalError } from '../core/errors.js'
import type { RowProgram } from '../core/row-program.js'
import { rowShape } from '../core/shape.js'
import type { Config } from './config.js'
import type { TensorRule } from './define.js'
import { ggufTensorName } from './roles.js'
import { filledTemplate, type Captures } from './templates.js'
import type { TensorProgram, Transform, TransformContext } from './transform.js'
import { TRANSFORMS } from './transforms.js'

/** A tensor by what it is called, outermost dimension first. */
export interface NamedShape {
  readonly name: string
  readonly shape: readonly number[]
}

export interface RowUnit {
  readonly rule: TensorRule
  /** Tensors of the checkpoint, in the row's order. */
  readonly sources: readonly NamedShape[]
  /** Tensors of the file. */
  readonly targets: readonly NamedShape[]
  /** Whether a target is its one source as it is. */
  readonly isCopy: boolean
  /** Whether values of the file are others than the checkpoint's, which then do not come back bit by bit. */
  readonly changesValues: boolean
  /** Programs of all sources -> programs of all targets. */
  readonly toFile: (sources: readonly RowProgram[]) => readonly RowProgram[]
  /** The same backwards; where values change, only the places of elements are found again. */
  readonly toCheckpoint: (targets: readonly RowProgram[]) => readonly RowProgram[]
}

/**
 * The unit of tensors that a checkpoint has.
 * @throws FormatError when their shapes are not what the row wants
 */
export function unitOfSources(rule: TensorRule, block: number | undefined, config: Config, sources: readonly NamedShape[]): RowUnit {
  const words = wordsOf(rule)
  const context: TransformContext = { config, block, tokenCount: undefined }
  const stages: (readonly TensorProgram[])[] = [sources.map(({ name, shape }) => ({ source: name, shape, program: placeholder(shape) }))]
  for (const { apply } of words) stages.push(apply(stages.at(-1) ?? [], context))
  const made = stages.at(-1) ?? []
  return {
    rule,
    sources,
    targets: made.map(({ shape }, i) => ({ name: targetNames(rule, block)[i] ?? '', shape })),
    isCopy: words.length === 0,
    changesValues: words.some(({ undo }) => undo === 'changesValues'),
    toFile: (programs) => {
      const given = withPrograms(stages[0] ?? [], programs)
      return words.reduce<readonly TensorProgram[]>((tensors, { apply }) => apply(tensors, context), given).map(({ program }) => program)
    },
    toCheckpoint: (programs) => undone(words, withPrograms(made, programs), context, stages).map(({ program }) => program),
  }
}

/**
 * The unit of tensors that a file has: their sources as the hub has them.
 * @param targets  of all roles of the row
 * @returns undefined when they cannot be what the row makes
 * @throws FormatError when their shapes, or the config, do not allow it
 */
export function unitOfTargets(rule: TensorRule, captures: Captures, config: Config, targets: readonly NamedShape[]): RowUnit | undefined {
  const { block } = captures
  const made = targets.map(({ name, shape }) => ({ source: name, shape, program: placeholder(shape) }))
  const sources = undone(wordsOf(rule), made, { config, block, tokenCount: undefined })
  const [list = []] = rule.pieces
  const isList = list[0]?.includes('{expert}') === true
  if (!isList && sources.length !== rule.pieces.length) return undefined
  const named = sources.map(({ shape }, i): NamedShape => {
    const template = (isList ? list : rule.pieces[i])?.[0] ?? ''
    return { name: filledTemplate(template, { ...captures, expert: i }), shape }
  })
  const unit = unitOfSources(rule, block, config, named)
  const fits = unit.targets.length === targets.length && unit.targets.every(({ shape }, i) => shape.join() === targets[i]?.shape.join())
  return fits ? unit : undefined
}

/** Names of the file's tensors, in the order of roles. */
export function targetNames({ roles, suffix }: TensorRule, block: number | undefined): string[] {
  return roles.map((role) => ggufTensorName(role, suffix, block))
}

function wordsOf({ transforms }: TensorRule): Transform[] {
  return transforms.map((word) => TRANSFORMS[word])
}

/** @param stages  what each word is given, where that is known */
function undone(
  words: readonly Transform[],
  made: readonly TensorProgram[],
  context: TransformContext,
  stages?: readonly (readonly TensorProgram[])[],
): readonly TensorProgram[] {
  return words.reduceRight((tensors, { undo }, i) => (undo === 'changesValues' ? tensors : undo(tensors, context, stages?.[i])), made)
}

function withPrograms(tensors: readonly TensorProgram[], programs: readonly RowProgram[]): TensorProgram[] {
  return tensors.map((tensor, i) => {
    const program = programs[i]
    if (program === undefined) throw new InternalError(`${programs.length} programs for ${tensors.length} tensors`, { tensor: tensor.source })
    return { ...tensor, program }
  })
}

/** Only shapes are asked. */
function placeholder(shape: readonly number[]): RowProgram {
  return { op: 'fill', ...rowShape(shape), value: 0 }
}
