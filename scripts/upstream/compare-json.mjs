/** Says in words what differs between two JSON values, key by key; "here" is the golden set's, "there" what newer tools made. */

const DIGEST = /^(?:[0-9a-f]{64}|[0-9a-f]{12})$/ // of SHA-256, whole or its beginning
const SHOWN = 90 // characters of a value in a line

/** Keys of adapter_config.json that are sets in PEFT: the order in the file says nothing. */
const SETS = new Set(['exclude_modules', 'feedforward_modules', 'modules_to_save', 'target_modules', 'target_parameters'])

/**
 * What differs, one row per key: where it stands and what it was and is.
 * @param ignored  names of keys whose values do not count, at any depth
 * @param isSame   says of values that differ that they are the same for all that
 */
export function jsonChanges(here, there, { ignored = new Set(), isSame = () => false } = {}) {
  const changes = []
  const compare = (a, b, path) => {
    if (isObject(a) && isObject(b)) {
      const keys = new Set([...Object.keys(a), ...Object.keys(b)])
      for (const key of keys) if (!ignored.has(key)) compare(a[key], b[key], [...path, key])
    } else if (textOf(a, path) !== textOf(b, path) && !isSame(a, b, path)) {
      changes.push({ path, what: words(a, b) })
    }
  }
  compare(here, there, [])
  return changes
}

/** Changes of keys as lines of a report take them. @param where  the file, if that needs to be said */
export function placed(changes, where = '') {
  return changes.map(({ path, what }) => ({ where, what: `${path.join('.')}: ${what}` }))
}

/** JSON as Python writes it, where Infinity and NaN stand bare: they become texts. */
export function parsePythonJson(text) {
  return JSON.parse(text.replaceAll(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g, (token) => (token.startsWith('"') ? token : `"${token}"`)))
}

export function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function textOf(value, path) {
  return JSON.stringify(Array.isArray(value) && SETS.has(path.at(-1)) ? value.map(String).sort() : value)
}

function words(here, there) {
  if (there === undefined) return isObject(here) ? 'gone there' : `${shown(here)} here, gone there`
  if (here === undefined) return `new there: ${shown(there)}`
  if (isDigest(here) && isDigest(there)) return 'other bytes'
  return `${shown(here)} here, ${shown(there)} there`
}

function isDigest(value) {
  return typeof value === 'string' && DIGEST.test(value)
}

function shown(value) {
  const text = JSON.stringify(value)
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text
}
