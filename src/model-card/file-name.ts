/**
 * The name of the GGUF: the default one from the metadata, or the user's template with its placeholders filled.
 *
 * Law: gguf-py gguf/utility.py `naming_convention`, `fill_templated_filename`. Stricter here: characters and names that
 * Windows forbids are replaced on every system (the reference would fail, or write into another folder for a '/' in a
 * finetune), and a name too long for a file system is cut.
 */
import { UsageError, quoted } from '../core/errors.js'
import { strip } from './python-text.js'

/** The parts of a name, as `generalKeyValues` gives them. */
export interface NameParts {
  readonly name?: string | undefined
  readonly basename?: string | undefined
  readonly sizeLabel?: string | undefined
  readonly finetune?: string | undefined
  readonly version?: string | undefined
}

const MAX_NAME_BYTES = 230 // file systems take 255; '.receipt.json' and the like must fit behind it
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const FORBIDDEN = /[<>:"/\\|?*\x00-\x1f]/gu
const DEVICE = /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?=[ ]*\.)/iu // Windows goes by what stands before the first dot

/**
 * `{basename or name}-{size}-{finetune}-{version}-{TYPE}.gguf`; for a vocabulary without size and type, and `-vocab`.
 * @param typeName  the file type: `F16`, `Q8_0`
 * @param notes     receives a sentence when the reference's name had to be changed
 */
export function defaultFileName(parts: NameParts, typeName: string, kind?: 'vocab' | 'LoRA', notes: string[] = []): string {
  const dashed = (text: string): string => strip(text).replaceAll(' ', '-')
  const suffix = (text: string | undefined): string => (text === undefined ? '' : `-${dashed(text)}`)
  const stem = parts.basename ?? parts.name
  const size = parts.sizeLabel === undefined || kind === 'vocab' ? '' : `-${parts.sizeLabel}`
  const head = (stem === undefined ? 'ggml-model' : dashed(stem).replaceAll('/', '-')) + size + suffix(parts.finetune) + suffix(parts.version)
  const tail = (kind === 'vocab' ? '' : `-${dashed(typeName).toUpperCase()}`) + suffix(kind) + '.gguf'
  const wanted = head + tail
  const safe = safeFileName(head, tail)
  if (safe !== wanted) notes.push(`The default file name would be ${quoted(wanted)}, which not every file system takes; ${quoted(safe)} is used.`)
  return safe
}

function safeFileName(head: string, tail: string): string {
  const legal = (text: string): string => text.replace(FORBIDDEN, '-')
  const end = legal(tail)
  const room = MAX_NAME_BYTES - utf8Length(end)
  let kept = ''
  let length = 0
  for (const character of legal(head)) {
    length += utf8Length(character)
    if (length > room) break
    kept += character
  }
  return (kept + end).replace(DEVICE, '$&_')
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length
}

type Fill = (lower: string, upper: string) => string

const PLACEHOLDERS: ReadonlyMap<string, Fill> = new Map<string, Fill>([
  ['', (lower) => lower],
  ['0', (lower) => lower],
  ['ftype', (lower) => lower],
  ['outtype', (lower) => lower],
  ['FTYPE', (_, upper) => upper],
  ['OUTTYPE', (_, upper) => upper],
])

/**
 * Fills `{ftype}`, `{outtype}`, `{}`, `{0}` (lower case) and `{FTYPE}`, `{OUTTYPE}` (upper case); `{{` and `}}` are braces.
 * @param fileName  last part of the path that the user gave
 * @throws UsageError for any other placeholder, a second `{}` and a brace that stands alone
 */
export function fillTemplate(fileName: string, typeName: string): string {
  const lower = typeName.toLowerCase()
  const upper = typeName.toUpperCase()
  const numbering = new Set<string>()
  return fileName.replace(/\{\{|\}\}|\{([^{}]*)\}|[{}]/g, (found: string, name?: string) => {
    if (found === '{{' || found === '}}') return found[0] ?? ''
    if (name === undefined)
      throw new UsageError(`the file name ${quoted(fileName)} has a single ${quoted(found)}; write ${quoted(found + found)} for a brace in the name.`)
    const fill = PLACEHOLDERS.get(name)
    if (fill === undefined)
      throw new UsageError(`the file name ${quoted(fileName)} has the placeholder ${quoted(found)}; known are {ftype}, {outtype}, {FTYPE}, {OUTTYPE} and {}.`)
    // Python numbers '{}' by itself: a second one would be argument 1, which there is not, and it does not mix with '{0}'
    if ((name === '' && numbering.size > 0) || (name === '0' && numbering.has(''))) {
      throw new UsageError(`the file name ${quoted(fileName)} uses ${quoted(found)} after {} or {0}; write {ftype} for each.`)
    }
    if (name === '' || name === '0') numbering.add(name)
    return fill(lower, upper)
  })
}
