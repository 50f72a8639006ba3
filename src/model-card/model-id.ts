/**
 * Takes a model's name apart: `acme/Tiny-Llama-1M-Chat-v1.0` -> organization, basename, size, finetune, version.
 *
 * Law: gguf-py gguf/metadata.py `get_model_id_components`, `id_to_title`. Python's re and str semantics are kept
 * (any script's digits, i with and without dot under IGNORECASE); compared with it over made-up names.
 */
import { asciiDigits, isAlpha, isDecimal, isLower, strip, titleOfLower, words } from './python-text.js'

/** What a name tells; a part that it does not tell is absent, one that it tells to be empty is ''. */
export interface ModelIdComponents {
  readonly fullName?: string
  readonly organization?: string
  readonly basename?: string
  readonly finetune?: string
  readonly version?: string
  readonly sizeLabel?: string
}

type Kind = 'basename' | 'sizeLabel' | 'finetune' | 'version' | 'type'

interface Part {
  text: string
  readonly kinds: Set<Kind>
}

// under re.IGNORECASE an i also matches U+0130 and U+0131, which the i flag's case folding leaves out
const VERSION = /^(?:v|[iİı]ter)?\p{Nd}+(?:[.]\p{Nd}+)*$/iu
const QUANT_TYPE = /^(?:[iİı]?q\p{Nd}(?:_[\p{L}\p{N}_])*|b?fp?(?:16|32))$/iu
const SIZE = /^(?:(?:A|\p{Nd}+x)?\p{Nd}+(?:[._]\p{Nd}+)?[KMBT]\p{Nd}?|small|m[iİı]n[iİı]|med[iİı]um|large|x?xl)$/iu
const FINETUNE = /^(?:chat|[iİı]nstruct|v[iİı]s[iİı]on|lora)$/iu

/**
 * @param id           `organization/name` or a name; with a space in it, it is a title and nothing is derived
 * @param totalParams  parameters of the model that is written: decides whether `128k` is a size or a context length.
 *                     Negative for a LoRA adapter, 0 when unknown
 */
export function modelIdComponents(id: string, totalParams: number): ModelIdComponents {
  if (id.includes(' ')) return { fullName: id }
  const slash = id.indexOf('/')
  const organization = slash < 0 || id.startsWith('.') ? undefined : id.slice(0, slash) // './' and '../' are no organizations
  const fullName = id.slice(slash + 1)

  const parts: Part[] = fullName
    .split('-')
    .filter((text) => text !== '')
    .map((text) => ({ text, kinds: new Set() }))
  parts.forEach((part, index) => annotate(part, index, totalParams))
  preferNumericSizes(parts)
  markBasename(parts)

  const joined = (kind: Kind): string | undefined =>
    parts
      .filter(({ kinds }) => kinds.has(kind))
      .map(({ text }) => text)
      .join('-') || undefined
  const sizes = new Set(parts.filter(({ kinds }) => kinds.has('sizeLabel')).map(({ text }) => text))
  const size = [...sizes].join('-') || undefined
  const finetune = joined('finetune')
  const version =
    parts
      .filter(({ kinds }) => kinds.has('version') && !kinds.has('basename'))
      .map(({ text }) => text)
      .join('-') || undefined
  // a name without any of the three is too ambiguous to call it a base name
  const basename = size === undefined && finetune === undefined && version === undefined ? undefined : joined('basename')
  return {
    fullName,
    ...(organization !== undefined && { organization }),
    ...(basename !== undefined && { basename }),
    ...(finetune !== undefined && { finetune }),
    ...(version !== undefined && { version }),
    ...(size !== undefined && { sizeLabel: size }),
  }
}

/** A name for people: dashes become spaces, lower-case words are capitalized unless they are versions or start with a digit. */
export function idToTitle(id: string): string {
  return words(strip(id).replaceAll('-', ' '))
    .map((word) => (isLower(word) && !/^(?:v\p{Nd}+(?:\.\p{Nd}+)*$|\p{Nd})/u.test(word) ? titleOfLower(word) : word))
    .join(' ')
}

/** Says what a part is, by itself; normalizes the spelling of types and sizes. */
function annotate(part: Part, index: number, totalParams: number): void {
  if (VERSION.test(part.text)) part.kinds.add('version')
  else if (QUANT_TYPE.test(part.text)) {
    part.kinds.add('type')
    part.text = part.text.toUpperCase()
  } else if (index > 0 && SIZE.test(part.text)) annotateSize(part, totalParams)
  else if (index > 0 && FINETUNE.test(part.text)) {
    // 'lora' says nothing new when the output is a LoRA adapter
    part.kinds.add(totalParams < 0 && part.text.toLowerCase() === 'lora' ? 'type' : 'finetune')
  }
}

function annotateSize(part: Part, totalParams: number): void {
  let characters = [...part.text.replaceAll('_', '.')]
  const at = (index: number): string => characters.at(index) ?? ''
  if (isDecimal(at(-1))) characters = [...characters.slice(0, -2), '.', at(-1), at(-2)] // bloom's 7b1 is 7.1b
  if (isDecimal(at(-2)) && 'kmbt'.includes(at(-1))) characters = [...characters.slice(0, -1), at(-1).toUpperCase()]

  const count = pythonFloat(characters.slice(0, -1).join('')) // 8x7 or A3 of 8x7B, A3B are no numbers: a size label whatever the model's size
  const label = count * 1000 ** ' KMBT'.indexOf(at(-1))
  if (!Number.isNaN(count) && contradicts(label, totalParams)) {
    part.kinds.add('finetune') // most likely a context length, and spelt like one: 128k
    characters = [...characters.slice(0, -1), at(-1).toLowerCase()]
  } else part.kinds.add('sizeLabel')
  part.text = characters.join('')
}

/** Whether a size in the name cannot be the model's. An adapter need not cover all layers, so that only a label far below its own size is wrong there. */
function contradicts(label: number, totalParams: number): boolean {
  if (totalParams < 0) return label < Math.floor(-totalParams / 8)
  return totalParams > 0 && Math.abs(label - totalParams) > Math.floor((7 * totalParams) / 8)
}

/** Python's float() for what the pattern of sizes lets through: NaN where it would raise. */
function pythonFloat(text: string): number {
  const ascii = asciiDigits(text)
  return /^\d+(?:\.\d+)?$/.test(ascii) ? Number(ascii) : Number.NaN
}

/** Size words (`mini`) count only where no size in digits stands in the name. */
function preferNumericSizes(parts: readonly Part[]): void {
  const sizes = parts.filter(({ kinds }) => kinds.has('sizeLabel'))
  if (!sizes.some(({ text }) => /\p{Nd}/u.test(text))) return
  for (const { text, kinds } of sizes) if ([...text].every(isAlpha)) kinds.delete('sizeLabel')
}

/** The base name is what stands before the first recognised part (versions may be inside it, not at its end); unknown parts after it are the finetune. */
function markBasename(parts: readonly Part[]): void {
  let atStart = true
  for (const { text, kinds } of parts) {
    if (atStart && ((kinds.size === 0 && isAlpha([...text][0] ?? '')) || kinds.has('version'))) kinds.add('basename')
    else {
      atStart = false
      if (kinds.size === 0) kinds.add('finetune')
    }
  }
  for (const { kinds } of parts.toReversed()) {
    if (!kinds.has('basename') || kinds.size === 1) break
    kinds.delete('basename')
  }
}
