/**
 * Writes fixtures/MANIFEST.json: one row per file with its sha256, size and where it comes from. test/fixtures.test.ts holds it.
 *
 * A new fixture needs a row in SOURCES below; a file that none of them covers ends the run.
 */
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { PROJECT, fail, filesUnder, say, sha256, slashed } from './setup.mjs'

const TORCH = { python: '3.11.7', torch: '2.15.0+cu132', transformers: '5.23.0', tokenizers: '0.23.3', safetensors: '0.8.0' }
const CC0 = 'cc0-1.0'
const MIT = 'mit'

/** First match wins. `with` and `seed` as the maker used them; a file written by hand has neither. */
const SOURCES = [
  { under: 'tiny-story/', madeBy: 'make/tiny_story.py', with: TORCH, seed: 7, licence: CC0 },
  { under: 'ship-log-lora/', madeBy: 'make/tiny_story.py', with: { ...TORCH, peft: '0.21.2' }, seed: 7, licence: CC0 },
  { under: 'adapters/', madeBy: 'make/module_names.py', with: TORCH, seed: 'none', licence: CC0 },
  { under: 'combinations/', madeBy: 'make/combinations.py', with: { ...TORCH, peft: '0.21.2' }, seed: 'base 1, adapters 1 to 3', licence: CC0 },
  {
    under: 'diffusion/names.json',
    madeBy: 'make/diffusion_names.py',
    with: { python: '3.11.7', torch: '2.15.0+cu132', diffusers: '0.42.1', 'sd-scripts': '48d368fa' },
    seed: 'none',
    licence: CC0,
  },
  {
    under: 'diffusion/',
    madeBy: 'make/diffusion_adapters.py',
    with: { python: '3.11.7', torch: '2.15.0+cu132', safetensors: '0.8.0', lycoris_lora: '4.1.3', 'sd-scripts': '48d368fa' },
    seed: 20261122,
    licence: CC0,
  },
  { under: 'make/', madeBy: 'hand', licence: MIT },
  {
    under: 'quants/',
    madeBy: 'make/quant_vectors.py',
    with: { python: '3.11.7', numpy: '2.4.6', '@node-llama-cpp/linux-x64': '3.22.1', 'llama.cpp': 'v0.5.0' },
    seed: 20261201,
    licence: CC0,
  },
  {
    under: 'golden/gguf/',
    madeBy: 'make_gguf.py, cut by make/golden_subset.mjs',
    with: { ...TORCH, 'llama.cpp': '0c1e57098bba43ac29e6e3b677cdceebdd22334f', gguf: '0.19.0', sentencepiece: '0.2.3' },
    seed: 'in the maker, one per case',
    licence: CC0,
  },
  {
    under: 'golden/merge/',
    madeBy: 'make_merge.py, cut by make/golden_subset.mjs',
    with: { ...TORCH, peft: '0.21.2' },
    seed: 'base 1, adapter 2',
    licence: CC0,
  },
  {
    under: 'golden/hostile/',
    madeBy: 'make_hostile.py, cut by make/golden_subset.mjs',
    with: { torch: '2.15.0+cu132', safetensors: '0.8.0', gguf: '0.19.0' },
    seed: 20261122,
    licence: CC0,
  },
  {
    under: 'architectures/',
    madeBy: 'make/architectures (make.py, pack.py)',
    with: { ...TORCH, 'llama.cpp': '0c1e57098bba43ac29e6e3b677cdceebdd22334f', gguf: '0.19.0' },
    seed: 'none: weights are a function of names',
    licence: CC0,
  },
  {
    under: 'tokenizers/',
    madeBy: 'make/tokenizer_cases.py',
    with: { ...TORCH, 'llama.cpp': '0c1e57098bba43ac29e6e3b677cdceebdd22334f', gguf: '0.19.0', sentencepiece: '0.2.3', 'mistral-common': '1.13.1' },
    seed: 'none: the trainers take their text in order',
    licence: CC0,
  },
  { under: 'golden/', madeBy: 'make/golden_subset.mjs', licence: CC0 },
]

const FIXTURES = join(PROJECT, 'fixtures')
const MANIFEST = join(FIXTURES, 'MANIFEST.json')

const rows = filesUnder(FIXTURES)
  .filter((file) => file !== MANIFEST)
  .map((file) => {
    const path = slashed(relative(FIXTURES, file))
    const { under, ...source } =
      SOURCES.find((row) => path.startsWith(row.under)) ?? fail(`fixtures/${path}: no row in SOURCES of scripts/make-manifest.mjs says where it comes from`)
    return { path, sha256: sha256(readFileSync(file)), bytes: statSync(file).size, ...source }
  })
  .sort((a, b) => (a.path < b.path ? -1 : 1))
writeFileSync(MANIFEST, `[\n${rows.map((row) => `  ${JSON.stringify(row)}`).join(',\n')}\n]\n`)
say(`fixtures/MANIFEST.json: ${rows.length} files, ${rows.reduce((sum, { bytes }) => sum + bytes, 0)} bytes`)
