/**
 * What is trained in one module of a PEFT adapter, by its tensors: rows of module-kinds.ts, each complete and of the right form.
 */
import { isPlainFloat } from '../../core/dtypes.js'
import { MismatchError, UnsupportedError } from '../../core/errors.js'
import { shapeText } from '../../core/shape.js'
import type { TensorInfo } from '../../core/tensor-info.js'
import type { FactorRole } from '../key-suffixes.js'
import { MODULE_KINDS, ROLE_KEYS, type KindRow } from './module-kinds.js'
import type { PeftConfig } from './peft-config.js'
import type { Factors } from './peft-keys.js'

const EMPTY = 'saved under DeepSpeed ZeRO-3 without gathering. Save it again with stage3_gather_16bit_weights_on_model_save, or from zero_to_fp32.py.'
const VECTORS: ReadonlySet<FactorRole> = new Set<FactorRole>([
  ...(['deloraLambda', 'deloraNorm', 'magnitude', 'diagonal', 'trainedBias', 'veraRowsOfA', 'veraRowsOfB', 'roadAngles', 'roadLengths'] as const),
  ...(['weight', 'bias', 'baseWeight', 'baseBias', 'sparseValues', 'sparsePositions', 'gloraA', 'gloraB', 'gloraC', 'gloraD', 'gloraE'] as const),
])
/** Positions and indices; PEFT on Windows saves them as F32. */
const INTEGERS: ReadonlySet<FactorRole> = new Set<FactorRole>(['sparsePositions', 'vbIdsA', 'vbIdsB'])
const INTEGER_DTYPES: ReadonlySet<string> = new Set(['U8', 'I8', 'I16', 'I32', 'I64', 'F32'])

export interface Part {
  readonly row: KindRow
  readonly name: string
  readonly factors: Factors
}

/** What a module's tensors are, by the table: a module can be trained in more than one way. */
export function splitFactors(name: string, all: Factors, { peftType, dora, kasa }: PeftConfig, file: string): Part[] {
  const found: Part[] = []
  const rest = new Map(all)
  while (rest.size > 0) {
    const row = rowFor(rest, peftType)
    const [some] = rest.values()
    const place = { file, tensor: some?.name ?? '' }
    if (row === undefined)
      throw new MismatchError(
        `belongs to a module without ${missingPartner(rest)}, so it would be left over: the file is incomplete, save the adapter again.`,
        place,
      )
    if (row.types?.includes(peftType) === false)
      throw new UnsupportedError(`is one of ${row.what}, which peft_type ${peftType} does not have: do ${file} and its config belong together?`, place)
    const missing = row.needs.find((role) => !rest.has(role))
    if (missing !== undefined) {
      const partner = ROLE_KEYS[missing] ?? missing
      throw new MismatchError(`has no partner ${partner} in the file, so its update is unknown: the file is incomplete, save the adapter again.`, place)
    }
    const factors: Factors = new Map()
    for (const [role, tensor] of [...rest]) {
      if (!belongs(role, row)) continue
      factors.set(role, tensor)
      rest.delete(role)
    }
    for (const [asked, role, field] of [[dora, 'magnitude', 'use_dora'] as const, [kasa, 'diagonal', 'kasa_config'] as const])
      if (asked && row.may?.includes(role) === true && !factors.has(role))
        throw new MismatchError(
          `has no partner ${ROLE_KEYS[role]} in the file, though ${field} says so: the file is incomplete, save the adapter again.`,
          place,
        )
    if (!kasa && factors.has('diagonal'))
      throw new MismatchError('is part of KaSA, but the config has no "kasa_config".', { file, tensor: factors.get('diagonal')?.name ?? '' })
    for (const [role, tensor] of factors) checkForm(role, tensor, file)
    found.push({ row, name, factors })
  }
  return found
}

/** The complete row, or else the first that some tensor belongs to; rows of this peft_type before others. */
function rowFor(factors: Factors, peftType: string): KindRow | undefined {
  const own = MODULE_KINDS.filter(({ types }) => types?.includes(peftType) !== false)
  const has = (role: FactorRole): boolean => factors.has(role)
  const isComplete = ({ needs, may = [] }: KindRow): boolean => (needs.length > 0 ? needs.every(has) : may.some(has))
  const begins = ({ needs, may = [] }: KindRow): boolean => (needs.length > 0 ? needs.some(has) : may.some(has))
  return own.find(isComplete) ?? own.find(begins) ?? MODULE_KINDS.find(begins)
}

function belongs(role: FactorRole, { needs, may = [], many = [] }: KindRow): boolean {
  return needs.includes(role) || may.includes(role) || many.some((numbered) => role.startsWith(`${numbered}.`))
}

function missingPartner(factors: Factors): string {
  const row = MODULE_KINDS.find((one) => [...factors.keys()].some((role) => belongs(role, one)))
  return row?.needs.map((role) => ROLE_KEYS[role] ?? role).join(' and ') ?? 'factors'
}

function checkForm(role: FactorRole, tensor: TensorInfo, file: string): void {
  const place = { file, tensor: tensor.name }
  if (tensor.shape.includes(0)) throw new MismatchError(`is empty (shape ${shapeText(tensor.shape)}): ${EMPTY}`, place)
  if (!VECTORS.has(role) && tensor.shape.length < 2)
    throw new MismatchError(`has shape ${shapeText(tensor.shape)} where a matrix of two dimensions is wanted.`, place)
  if (INTEGERS.has(role) ? !INTEGER_DTYPES.has(tensor.dtype) : !isPlainFloat(tensor.dtype))
    throw new UnsupportedError(`has dtype ${tensor.dtype}; ${INTEGERS.has(role) ? 'indices must be integers' : 'factors must be F32, F16 or BF16'}.`, place)
}
