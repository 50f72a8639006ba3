/**
 * LoRA on parameters (target_parameters), mostly fused experts -> deltas, whether the base stores a parameter as one
 * tensor, as one for each part, or as one for each part of each expert.
 *
 * Law: PEFT tuners/lora/layer.py `ParamWrapper`: A (rank·E x inputs) holds expert after expert, B (out x rank·E) rank after
 * rank. Up to 0.18 inputs and out were taken the other way round. Unsloth packed B expert after expert until September 2026
 * (unslothai/unsloth-zoo pull requests 1232 and 1269), and says so in adapter_config.json since.
 */
import type { Delta, LowRank } from '../../core/delta.js'
import { MismatchError, nameList, quoted } from '../../core/errors.js'
import type { JsonObject } from '../../core/json.js'
import { rowSlice, transposed, wholeMatrix, type MatrixView } from '../../core/matrix-view.js'
import { shapeText } from '../../core/shape.js'
import type { AdapterFile, AdapterModule, ExpertPacking, ParameterChoice } from '../adapter-file.js'
import { TRANSPOSED_IN_CLASS } from './expert-layouts.js'
import { placeOf } from './factors.js'
import type { ModulePaths } from '../module-paths.js'
import { findParameter, type StoredParameter } from './stored-parameters.js'
import { withoutBaseLayer } from '../peft/peft-modules.js'

/** What decides where shapes do not. */
export interface ParameterFacts {
  /** Model types of the base's config; undefined when it has none. */
  readonly types: ReadonlySet<string> | undefined
  /** How B is packed, when the user says so. */
  readonly packing: ExpertPacking | undefined
  /** Names of parameters that other modules have been given, in full: this one's is added. */
  readonly taken: Set<string>
}

/** A parameter's deltas, and whether it was assumed, not known, how B is packed. */
export interface BoundParameter {
  readonly deltas: readonly Delta[]
  readonly assumesPacking: boolean
}

/** One way to read the factors. */
interface Reading {
  readonly choice: ParameterChoice
  readonly stored: StoredParameter
  /** B·A must be turned to lie as the parameter does. */
  readonly turned: boolean
}

/**
 * @returns undefined when the base has none of the parameters: the factors are those of an ordinary module
 * @throws MismatchError when no parameter fits, or more than one
 */
export function bindParameter(module: AdapterModule, paths: ModulePaths, facts: ParameterFacts): BoundParameter | undefined {
  const path = withoutBaseLayer(module.name)
  const candidates = (module.parameters ?? []).flatMap((choice) => {
    const stored = findParameter(path, choice.name, paths, placeOf(module))
    return stored === undefined ? [] : [{ choice, stored }]
  })
  if (candidates.length === 0) return undefined
  const free = candidates.filter(({ choice }) => !facts.taken.has(`${path}.${choice.name}`))
  const fitting = free.flatMap(({ choice, stored }) => readings(module, choice, stored))
  const likely = fitting.length < 2 ? fitting : fitting.filter(({ stored, turned }) => (expectsTurn(module, stored, facts) ?? turned) === turned)
  const [only, ...others] = likely.length < 2 ? likely : byNesting(module, likely)
  if (only === undefined) throw fitsNone(module, path, candidates)
  if (others.length > 0) {
    const names = [...new Set([only, ...others].map(({ choice }) => choice.name))]
    throw new MismatchError(
      `could be factors of ${nameList(names)} in either direction: shapes do not tell, and ${module.turnsParameters === undefined ? '"peft_version" is missing in its config' : 'no config.json says what model the base is'}.`,
      placeOf(module),
    )
  }
  facts.taken.add(`${path}.${only.choice.name}`)
  const packing = packingOf(module, only, facts)
  const assumesPacking = only.choice.packing === undefined && only.stored.experts > 1 && only.choice.rank > 1
  return { deltas: deltasOf(module, path, only, packing), assumesPacking }
}

/** How the shapes allow the factors to be read. */
function readings(module: AdapterModule, choice: ParameterChoice, stored: StoredParameter): Reading[] {
  const { A, B } = factorsOf(module)
  const ranks = choice.rank * stored.experts
  if (A.rows !== ranks || B.cols !== ranks) return []
  const plain = A.cols === stored.cols && B.rows === stored.rows
  const turned = A.cols === stored.rows && B.rows === stored.cols
  return [...(plain ? [{ choice, stored, turned: false }] : []), ...(turned ? [{ choice, stored, turned: true }] : [])]
}

/** Whether B·A is turned against the stored parameter, by what is known of versions and models; undefined when that is not enough. */
function expectsTurn({ turnsParameters }: AdapterModule, { isApart }: StoredParameter, { types }: ParameterFacts): boolean | undefined {
  if (isApart) return turnsParameters
  if (types === undefined) return undefined
  return [...types].some((type) => TRANSPOSED_IN_CLASS.has(type)) ? true : turnsParameters
}

/** Modules with several parameters are wrapped in the order of their definition: the innermost is the first. */
function byNesting(module: AdapterModule, likely: readonly Reading[]): readonly Reading[] {
  const depth = module.name.split('.').filter((part) => part === 'base_layer').length
  const names = (module.parameters ?? []).map(({ name }) => name)
  const [outer, inner, ...more] = ['down_proj', ...['gate_up_proj', 'up_proj'].filter((name) => names.includes(name))]
  if (more.length > 0 || names.length !== 2 || !names.every((name) => name === outer || name === inner)) return likely
  return likely.filter(({ choice }) => choice.name === (depth === 0 ? outer : inner))
}

function packingOf(module: AdapterModule, { choice }: Reading, { packing }: ParameterFacts): ExpertPacking {
  if (packing !== undefined && choice.packing !== undefined && packing !== choice.packing)
    throw new MismatchError(
      `its config says with "lora_B_layout" that B is packed ${choice.packing === 'rank' ? 'rank by rank' : 'expert by expert'}: take the option away.`,
      placeOf(module),
    )
  return choice.packing ?? packing ?? 'rank'
}

function deltasOf(module: AdapterModule, path: string, { choice, stored, turned }: Reading, packing: ExpertPacking): Delta[] {
  const { A, B } = factorsOf(module)
  const { rank, scale, name } = choice
  const { experts, regions } = stored
  const pairs = Array.from({ length: experts }, (_, expert): LowRank => {
    const ownA = rowSlice(A, expert * rank, rank)
    const ownB = packing === 'expert' ? { ...B, cols: rank, offset: expert * rank } : { ...B, cols: rank, offset: expert, colStride: experts }
    return turned ? { B: transposed(ownA), A: transposed(ownB) } : { B: ownB, A: ownA }
  })
  const common = { module: `${path}.${name}`, rank, scale }
  return regions.map(({ tensor, expert, first, rows }): Delta => {
    const part = (pair: LowRank): LowRank => ({ ...pair, B: rowSlice(pair.B, first, rows) })
    const only = expert === undefined ? undefined : pairs[expert]
    if (only !== undefined) return { variant: 'lora', ...common, target: tensor.name, ...part(only) }
    return { variant: 'experts', ...common, target: tensor.name, parts: pairs.map(part) }
  })
}

function factorsOf({ factors }: AdapterModule): { A: MatrixView; B: MatrixView } {
  const [A, B] = [factors.get('A'), factors.get('B')]
  if (A === undefined || B === undefined || A.shape.length !== 2 || B.shape.length !== 2)
    throw new MismatchError('factors of experts must be two matrices.', { tensor: (A ?? B)?.name ?? '' })
  return { A: wholeMatrix(A), B: wholeMatrix(B) }
}

function fitsNone(module: AdapterModule, path: string, candidates: readonly Pick<Reading, 'choice' | 'stored'>[]): MismatchError {
  const { A, B } = factorsOf(module)
  const found = candidates.map(({ choice, stored }) => `${choice.name} ${shapeText([stored.experts, stored.rows, stored.cols])} of rank ${choice.rank}`)
  return new MismatchError(
    `A ${shapeText([A.rows, A.cols])} and B ${shapeText([B.rows, B.cols])} fit none of the parameters of ${quoted(path)} in the base (${found.join(', ')}).`,
    placeOf(module),
  )
}

/** `model_type` of the model and of its parts. */
export function modelTypes(config: JsonObject | undefined): ReadonlySet<string> | undefined {
  if (config === undefined) return undefined
  const types = [config, ...config.values()].flatMap((part) => (part instanceof Map ? [part.get('model_type')] : []))
  return new Set(types.filter((type) => typeof type === 'string'))
}

/** How B of fused experts is packed cannot be seen in it; who guesses wrong mixes up all experts. */
export function packingWarnings({ fromUnsloth }: AdapterFile, parameters: readonly BoundParameter[], asked: ExpertPacking | undefined): string[] {
  if (!parameters.some(({ assumesPacking }) => assumesPacking)) return []
  if (asked === 'expert')
    return [
      'lora_B of the fused experts is read expert by expert, as asked: right for adapters that Unsloth trained before September 2026, wrong for all others',
    ]
  if (fromUnsloth !== true) return []
  return [
    'the adapter was trained with Unsloth and does not say how lora_B of its fused experts is packed; it is read as PEFT has it. Was it trained before September 2026, say --expert-major-b',
  ]
}
