/**
 * Where the matrices of a GGUF file lie in the checkpoint that it was made of: for adapters whose modules have GGUF names.
 * The same rows that convert, read from right to left (backwards.ts).
 */
import type { RowProgram } from '../core/row-program.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { backwardTensor } from './backwards.js'
import type { Config } from './config.js'
import type { Architecture, TensorRule } from './define.js'
import { ROLES, type Role } from './roles.js'
import { filledTemplate, TemplateTrie } from './templates.js'

/** A place in the checkpoint. */
export interface CheckpointPlace {
  /** Whole names of tensors that it may be, or, of all experts, the path before their numbers. */
  readonly names: readonly string[]
  /** Takes rows as the file has them to the checkpoint's order, one after the other. */
  readonly orders: readonly { readonly shape: readonly number[]; readonly order: readonly number[] }[]
  /** Which matrix of every expert it is; undefined for a tensor that belongs to none. */
  readonly part: string | undefined
}

const PARTS: ReadonlyMap<Role, string> = new Map<Role, string>([
  ['ffnGateExps', 'gate_proj'],
  ['ffnUpExps', 'up_proj'],
  ['ffnDownExps', 'down_proj'],
])

/**
 * @param config  of the model: head counts decide the order of rows
 * @returns a lookup by the name of a tensor of the file and its shape, outermost dimension first; undefined where the file
 *          holds something else than rows of the checkpoint in another order
 */
export function checkpointPlaces({ rules }: Architecture, config: Config): (name: string, shape: readonly number[]) => CheckpointPlace | undefined {
  const trie = new TemplateTrie<TensorRule>()
  for (const rule of rules) {
    const [role, ...more] = rule.roles
    if (role !== undefined && more.length === 0) trie.add(ROLES[role].gguf + rule.suffix, rule)
  }
  return (name, shape) => {
    const tensor: TensorInfo = { name, dtype: 'F32', shape, source: NOWHERE, offset: 0, byteLength: 0 }
    const found = trie.match(name).flatMap((match): CheckpointPlace[] => {
      const { value: rule, captures } = match
      const names = (rule.pieces[0] ?? []).map((piece) => filledTemplate(piece, captures))
      const part = PARTS.get(rule.roles[0] ?? 'output')
      const [list] = (rule.pieces[0]?.[0] ?? '').split('.{expert}.')
      if (rule.group !== undefined) {
        const isStack = part !== undefined && list !== undefined && rule.pieces.length === 1 && rule.transforms.join() === 'stackExperts'
        return isStack ? [{ names: [filledTemplate(list, captures)], orders: [], part }] : []
      }
      const back = shape.length === 2 || shape.length === 1 ? backwardTensor(tensor, match, config) : undefined
      return back === undefined ? [] : [{ names, orders: ordersOf(back.original), part: undefined }]
    })
    const [first] = found
    return first && { ...first, names: found.filter(({ part }) => part === first.part).flatMap(({ names }) => names) }
  }
}

const NOWHERE = { kind: 'memory', name: '', bytes: new Uint8Array(0), byteLength: 0 } as const

/** The maps of rows around a `read`, innermost first. */
export function ordersOf(program: RowProgram): CheckpointPlace['orders'] {
  return program.op === 'permuteRows' ? [...ordersOf(program.input), { shape: program.shape, order: program.order }] : []
}
