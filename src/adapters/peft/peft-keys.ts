/**
 * Tensors of a PEFT adapter -> factors by module, those that modules share apart. Law: PEFT 0.21.2 utils/save_and_load.py.
 */
import { MismatchError, quoted, UnsupportedError } from '../../core/errors.js'
import type { TensorInfo } from '../../core/tensor-info.js'
import type { ModuleKind } from '../adapter-file.js'
import { splitKey, type FactorRole } from '../key-suffixes.js'
import type { PeftConfig } from './peft-config.js'
import type { Part } from './peft-parts.js'

export type Factors = Map<FactorRole, TensorInfo>

const PREFIX = 'base_model.model.'
/** Module of tensors that modules share: projections and banks lie outside the model. */
const SHARED = 'base_model'
/** Roles that are shared, and by which kind of modules; a module's own copy is the same (RandLoRA saves both). */
const SHARED_FACTORS: ReadonlyMap<FactorRole, readonly ModuleKind[]> = new Map<FactorRole, readonly ModuleKind[]>([
  ['veraA', ['vera', 'pvera']],
  ['veraB', ['vera', 'pvera']],
  ['randA', ['randlora']],
  ['randB', ['randlora']],
  ['vbBank', ['vblora']],
])
/** Takes all keys apart. @throws when one is unknown or refused, or belongs to another adapter */
export function collect(tensors: readonly TensorInfo[], { peftType }: PeftConfig, file: string): Map<string, Factors> {
  const byModule = new Map<string, Factors>()
  const names = new Set<string | undefined>()
  let [first, firstName]: [string | undefined, string] = [undefined, '']
  for (const tensor of tensors) {
    const place = { file, tensor: tensor.name }
    const key = splitKey(tensor.name.startsWith(PREFIX) ? tensor.name.slice(PREFIX.length) : tensor.name)
    if (key === undefined) throw new MismatchError(`is no tensor of a ${peftType} adapter (its key ends in nothing known), so it would be left over.`, place)
    if ('refused' in key.meaning)
      throw new UnsupportedError(`is ${key.meaning.refused}: not yet supported with peft_type ${peftType}; merge this adapter with PEFT.`, place)
    if ('ignored' in key.meaning) continue
    const { role } = key.meaning
    const isWhole = key.adapterName === undefined && (role === 'weight' || role === 'bias' || role === 'baseWeight' || role === 'baseBias')
    if (!isWhole) {
      if (names.size === 0) [first, firstName] = [key.adapterName, tensor.name]
      names.add(key.adapterName)
      if (names.size > 1 && key.adapterName !== first)
        throw new MismatchError(`belongs to another adapter than ${quoted(firstName)}: save each adapter in a folder of its own.`, place)
    }
    const module = role === 'tokens' ? key.module.replace(/\.token_adapter$/, '') : key.module
    const factors = byModule.get(module) ?? new Map<FactorRole, TensorInfo>()
    byModule.set(module, factors)
    if (factors.has(role)) throw new MismatchError(`says the same as ${quoted(factors.get(role)?.name ?? '')}: one of them would be left over.`, place)
    factors.set(role, tensor)
  }
  return byModule
}

export function takeShared(byModule: Map<string, Factors>): Factors {
  const found = byModule.get(SHARED) ?? new Map<FactorRole, TensorInfo>()
  const shared = new Map([...found].filter(([role]) => SHARED_FACTORS.has(role) || role.startsWith('tinyV.')))
  for (const role of shared.keys()) found.delete(role)
  if (found.size === 0) byModule.delete(SHARED)
  return shared
}

/** Hands shared tensors to a module. */
export function giveShared({ row, name, factors }: Part, shared: Factors, groups: ReadonlyMap<string, number>, used: Set<FactorRole>): void {
  for (const [role, tensor] of shared) {
    const isMine = role.startsWith('tinyV.')
      ? row.kind === 'tinylora' && role === `tinyV.${groups.get(name) ?? 0}`
      : SHARED_FACTORS.get(role)?.includes(row.kind)
    if (isMine !== true) continue
    factors.set(role.startsWith('tinyV.') ? 'tinyV.0' : role, tensor)
    used.add(role)
  }
}
