/**
 * Names of checkpoint tensors as templates: `model.layers.{block}.self_attn.q_proj.weight`. All templates of an
 * architecture are one trie over the parts between dots, so that a name matches whole or not at all, in one walk,
 * whatever the number of rows. Nothing is ever replaced inside a name.
 */
import { InternalError } from '../core/errors.js'

/** The numbers that a template's placeholders stood for. */
export interface Captures {
  readonly block?: number
  readonly expert?: number
}

export interface Match<T> {
  readonly value: T
  readonly captures: Captures
}

interface Node<T> {
  readonly parts: Map<string, Node<T>>
  readonly numbers: Map<'block' | 'expert', Node<T>>
  readonly values: T[]
}

const NUMBER = /^(?:0|[1-9]\d{0,8})$/ // as torch.nn.ModuleList spells its children: no sign, no leading zero

export class TemplateTrie<T> {
  private readonly root: Node<T> = emptyNode()

  /** @throws InternalError for a placeholder that is not known */
  add(template: string, value: T): void {
    let node = this.root
    for (const part of template.split('.')) {
      if (part === '{block}' || part === '{expert}') node = child(node.numbers, part === '{block}' ? 'block' : 'expert')
      else if (/[{}]/.test(part)) throw new InternalError(`template ${template}: ${part} is no placeholder`)
      else node = child(node.parts, part)
    }
    node.values.push(value)
  }

  /** Every template that the whole name matches. */
  match(name: string): Match<T>[] {
    const found: Match<T>[] = []
    walk(this.root, name.split('.'), 0, {}, found)
    return found
  }
}

/** As deep as the templates are, however many parts the name has. */
function walk<T>(node: Node<T>, parts: readonly string[], at: number, captures: Captures, found: Match<T>[]): void {
  const part = parts[at]
  if (part === undefined) {
    for (const value of node.values) found.push({ value, captures })
    return
  }
  const literal = node.parts.get(part)
  if (literal !== undefined) walk(literal, parts, at + 1, captures, found)
  if (node.numbers.size === 0 || !NUMBER.test(part)) return
  for (const [placeholder, numbered] of node.numbers) walk(numbered, parts, at + 1, { ...captures, [placeholder]: Number(part) }, found)
}

/** The name that a template stands for. */
export function filledTemplate(template: string, captures: Captures): string {
  return template.replace('{block}', String(captures.block)).replace('{expert}', String(captures.expert))
}

function emptyNode<T>(): Node<T> {
  return { parts: new Map(), numbers: new Map(), values: [] }
}

function child<K, T>(children: Map<K, Node<T>>, key: K): Node<T> {
  const existing = children.get(key)
  if (existing !== undefined) return existing
  const node = emptyNode<T>()
  children.set(key, node)
  return node
}
