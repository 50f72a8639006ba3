/**
 * Writes an Ollama Modelfile. No value can leave its line: what the parser cannot hold is refused.
 *
 * Law: ollama parser/parser.go `ParseFile`, `parseRuneForState`, `unquote`. Its quotes know no escapes: the outer `"` or `"""` are stripped, and a value ends
 * at the first line break before which the quotes look closed. Characters that Go calls unprintable are dropped without a word, so they are refused too.
 * PARAMETER takes the names of instructions (`PARAMETER model x` acts as FROM), so names come from a closed list.
 */
import { UnsupportedError, nameList, quoted } from '../core/errors.js'

export type ModelfileValue = string | number | boolean

export interface Modelfile {
  /** Name of the GGUF next to the Modelfile: `name.gguf`, written as ./name.gguf. */
  readonly from: string
  /** The other parts of a split GGUF, a FROM line each: Ollama unites them. */
  readonly otherParts?: readonly string[] | undefined
  /** By Ollama's names, in the order of writing; a list is written as one line for each item. */
  readonly parameters: ReadonlyMap<string, ModelfileValue | readonly ModelfileValue[]>
  readonly template?: string | undefined
  readonly system?: string | undefined
  readonly license?: string | undefined
  /** Written below the marker, one line for each; line breaks make more lines. */
  readonly comments?: readonly string[] | undefined
}

const MARK = '# Made by lora-to-gguf'
const MARK_LINE = /^# Made by lora-to-gguf \(check ([0-9a-f]{8})\)[^\n]*\n/

/** What each parameter takes: ollama api/types.go `Options` and `Runner`. Deprecated ones are left out: Ollama drops them. */
const PARAMETERS: ReadonlyMap<string, 'integer' | 'number' | 'text' | 'boolean'> = new Map([
  ['num_ctx', 'integer'],
  ['num_batch', 'integer'],
  ['num_gpu', 'integer'],
  ['main_gpu', 'integer'],
  ['use_mmap', 'boolean'],
  ['num_thread', 'integer'],
  ['draft_num_predict', 'integer'],
  ['num_keep', 'integer'],
  ['num_predict', 'integer'],
  ['seed', 'integer'],
  ['temperature', 'number'],
  ['top_k', 'integer'],
  ['top_p', 'number'],
  ['min_p', 'number'],
  ['typical_p', 'number'],
  ['repeat_last_n', 'integer'],
  ['repeat_penalty', 'number'],
  ['presence_penalty', 'number'],
  ['frequency_penalty', 'number'],
  ['stop', 'text'],
])

/**
 * The Modelfile's text; its first line marks it as ours and carries a check of the rest.
 * @throws UnsupportedError for a value that the Modelfile's grammar cannot hold
 */
export function renderModelfile(model: Modelfile): string {
  const lines = (model.comments ?? []).flatMap((comment) => comment.split(/[\r\n\u2028\u2029]+/)).map((line) => `# ${line}`.trimEnd())
  lines.push(fromLine(model.from), ...(model.otherParts ?? []).map(fromLine))
  for (const [name, value] of model.parameters) for (const item of asList(value)) lines.push(parameterLine(name, item))
  if (hasText(model.template)) lines.push(`TEMPLATE ${block('TEMPLATE', model.template)}`)
  if (hasText(model.system)) lines.push(`SYSTEM ${block('SYSTEM', model.system)}`)
  if (hasText(model.license)) lines.push(`LICENSE ${block('LICENSE', model.license)}`)
  const body = `${lines.join('\n')}\n`
  return `${MARK} (check ${checksum(body)}). Yours once you change it: then it is never overwritten.\n${body}`
}

/** Whether a Modelfile is one that renderModelfile wrote and that nobody has changed since; line ends aside. */
export function isOurModelfile(text: string): boolean {
  const plain = text.replaceAll('\r\n', '\n')
  const mark = MARK_LINE.exec(plain)
  return mark !== null && checksum(plain.slice(mark[0].length)) === mark[1]
}

/** Whether a Modelfile of ours is for this GGUF. */
export function isModelfileFor(text: string, ggufName: string): boolean {
  return isOurModelfile(text) && text.split(/\r?\n/).includes(fromLine(ggufName))
}

/** `Modelfile`, or `<gguf stem>.Modelfile` where that name is taken by a Modelfile that is not ours, or is another GGUF's. */
export function modelfileName(nameIsTaken: boolean, ggufStem: string): string {
  return nameIsTaken ? `${ggufStem}.Modelfile` : 'Modelfile'
}

/**
 * The name for a GGUF's Modelfile.
 * @param existing  text of the folder's `Modelfile`, or undefined when there is none
 * The `<stem>.Modelfile` may exist as well: it too may only be replaced when isModelfileFor(its text, ggufName).
 */
export function chooseModelfileName(existing: string | undefined, ggufName: string): string {
  return modelfileName(existing !== undefined && !isModelfileFor(existing, ggufName), ggufName.replace(/\.gguf$/i, ''))
}

/** Why a text cannot stand in quotes on one line or in a block, or undefined when it can. */
export function whyNotQuotable(text: string, lineBreaks: boolean): string | undefined {
  if (text.includes('"""')) return 'it holds """, which ends a value and cannot be escaped'
  if (!lineBreaks && /[\r\n]/.test(text)) return 'it holds a line break'
  const unprintable = /[^\p{L}\p{M}\p{N}\p{P}\p{S} \t\r\n]/u.exec(text)?.[0]
  if (unprintable !== undefined)
    return `it holds the character U+${(unprintable.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}, which Ollama drops`
  return undefined
}

/** The name as it stands in the Modelfile: ./name.gguf, quoted when blanks stand in it. */
function fromLine(name: string): string {
  const file = name.startsWith('./') ? name.slice(2) : name
  if (file === '' || file === '.' || file === '..' || /[/\\]/.test(file))
    throw new UnsupportedError(`FROM wants the name of a file next to the Modelfile, not ${quoted(name)}.`)
  const why = whyNotQuotable(file, false) ?? (file.includes('\t') ? 'it holds a tab' : undefined)
  if (why !== undefined) throw new UnsupportedError(`${quoted(name)} cannot stand in a Modelfile: ${why}. Choose another name for the GGUF, or --no-modelfile.`)
  return file.includes(' ') ? `FROM "./${file}"` : `FROM ./${file}`
}

function parameterLine(name: string, value: ModelfileValue): string {
  const kind = PARAMETERS.get(name)
  if (kind === undefined) throw new UnsupportedError(`${quoted(name)} is no parameter of Ollama's; known are ${nameList([...PARAMETERS.keys()], 30)}.`)
  const fits =
    kind === 'text'
      ? typeof value === 'string' && value !== ''
      : kind === 'boolean'
        ? typeof value === 'boolean'
        : kind === 'integer'
          ? Number.isSafeInteger(value)
          : Number.isFinite(value)
  if (!fits) throw new UnsupportedError(`PARAMETER ${name} takes ${kind === 'text' ? 'a text' : `a ${kind} value`}, not ${quoted(String(value))}.`)
  return `PARAMETER ${name} ${typeof value === 'string' ? quotedLine(name, value) : value}`
}

function quotedLine(name: string, text: string): string {
  const why = whyNotQuotable(text, false)
  if (why !== undefined) throw new UnsupportedError(`PARAMETER ${name} cannot be ${quoted(text)} in a Modelfile: ${why}.`)
  return text.includes('"') ? `"""${text}"""` : `"${text}"`
}

function block(instruction: string, text: string): string {
  const why = whyNotQuotable(text, true)
  if (why !== undefined) throw new UnsupportedError(`${instruction} cannot be written into a Modelfile: ${why}.`)
  return `"""${text}"""`
}

function asList(value: ModelfileValue | readonly ModelfileValue[]): readonly ModelfileValue[] {
  return typeof value === 'object' ? value : [value]
}

function hasText(text: string | undefined): text is string {
  return text !== undefined && text !== ''
}

// FNV-1a over UTF-16 code units: tells an edited file from an untouched one, no more
function checksum(text: string): string {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, '0')
}
