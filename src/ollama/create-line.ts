/**
 * The `ollama create` line for the user to paste: a model name that Ollama takes, and a path that the shell leaves alone.
 *
 * Law of names: ollama types/model/name.go `isValidPart`: [A-Za-z0-9_] then also - and . , at most 80 bytes.
 */

const MAX_NAME = 80 // bytes; the name is ASCII
const FALLBACK_NAME = 'model'

/**
 * @param name           what to call the model, in any spelling (usually the GGUF's stem)
 * @param modelfilePath  as the user should type it, unquoted
 * @param platform       'win32' quotes for cmd and PowerShell alike; all others for a POSIX shell
 */
export function ollamaCreateLine(name: string, modelfilePath: string, platform: 'win32' | 'posix' = 'posix'): string {
  return `ollama create ${ollamaModelName(name)} -f ${shellQuoted(modelfilePath, platform)}`
}

/** A name that Ollama accepts: lower case, accents dropped, other characters as one hyphen. */
export function ollamaModelName(name: string): string {
  const plain = name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9_.-]+/g, '-')
  // no dot or hyphen at the ends: the name is also a folder's, and Windows drops a last dot
  const trimmed = trimEdges(plain).slice(0, MAX_NAME)
  return trimEdges(trimmed) || FALLBACK_NAME
}

function trimEdges(text: string): string {
  return text.replace(/^[.-]+/, '').replace(/(?<![.-])[.-]+$/, '')
}

function shellQuoted(path: string, platform: 'win32' | 'posix'): string {
  const safe = path.startsWith('-') ? `./${path}` : path // a path is no option
  if (platform === 'win32') return /^[\w.:\\/-]+$/.test(safe) ? safe : `"${safe}"` // file names on Windows cannot hold "
  if (/^[\w.:/@%+=,-]+$/.test(safe)) return safe
  // eslint-disable-next-line no-control-regex
  if (!/[\x00-\x1f\x7f]/.test(safe)) return `'${safe.replaceAll("'", "'\\''")}'`
  return `$'${safe.replace(/['\\]/g, '\\$&').replace(/[\x00-\x1f\x7f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)}'`
}
