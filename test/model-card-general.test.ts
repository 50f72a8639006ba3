/** general.* from cards, configs and options: what the reference writes, and what is left out where it fails. No golden data needed. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { memorySource } from '../src/core/bytes.js'
import type { Folder } from '../src/core/bytes.js'
import { FileSystemError } from '../src/core/errors.js'
import { parseJsonObject } from '../src/core/json.js'
import type { JsonObject } from '../src/core/json.js'
import type { KeyValue } from '../src/core/key-value.js'
import { generalKeyValues } from '../src/model-card/general.js'
import type { GeneralMetadata } from '../src/model-card/general.js'

type Row = readonly [key: string, type: string, value: unknown]

interface CardCase {
  readonly title: string
  readonly identity: string
  readonly total: number
  readonly card: string | undefined
  readonly keyValues: readonly Row[]
}

// Made with gguf-py of llama.cpp 0c1e570 and PyYAML 6.0.3 (Python 3.11): Metadata.load, the size label as
// prepare_metadata adds it, set_gguf_meta_model, then what the writer packed. 16,000 random cards, overrides and
// generation configs were compared when this was written: equal wherever the reference does not fail, except nested
// lists (which core/key-value.ts cannot hold) and !!binary; both are left out, with a note.
const CARDS: readonly CardCase[] = [
  {
    title: 'TheBloke style',
    identity: 'm',
    total: 0,
    card: 'model_name: Mistral 7B\nmodel_creator: Mistral AI\nmodel_type: mistral\nquantized_by: TheBloke\nlicense: apache-2.0\n',
    keyValues: [
      ['general.name', 'string', 'Mistral 7B'],
      ['general.author', 'string', 'Mistral AI'],
      ['general.basename', 'string', 'mistral'],
      ['general.license', 'string', 'apache-2.0'],
    ],
  },
  {
    title: 'Norwegian and a tab',
    identity: 'm',
    total: 0,
    card: 'language:\n- en\n- no\ntags:\n- a\t\nlicense_link: "x\ty"\n',
    keyValues: [
      ['general.name', 'string', 'M'],
      ['general.license.link', 'string', 'x  y'],
      ['general.tags', 'string[]', ['a']],
      ['general.languages', 'string[]', ['en', 'no']],
    ],
  },
  {
    title: 'lists of licences',
    identity: 'm',
    total: 0,
    card: 'license:\n- mit\n- gpl-3.0\nlicense_name: both\n',
    keyValues: [
      ['general.name', 'string', 'M'],
      ['general.license', 'string', 'mit,gpl-3.0'],
      ['general.license.name', 'string', 'both'],
    ],
  },
  {
    title: 'base models in every form',
    identity: 'My-Model-7B',
    total: 7_000_000_000,
    card: 'base_model:\n- meta-llama/Llama-2-7b\n- https://huggingface.co/acme-ai/Tiny-7B-v2.0\n- https://huggingface.co/a/b/c\n- ssh://git@x/y\n- local-model\n- a b/c\n- name: B\n  version: "1"\n  doi: 10.1/x\n  author:\n- 5\n',
    keyValues: [
      ['general.name', 'string', 'My Model 7B'],
      ['general.basename', 'string', 'My-Model'],
      ['general.size_label', 'string', '7B'],
      ['general.base_model.count', 'u32', 8],
      ['general.base_model.0.name', 'string', 'Llama 2 7b'],
      ['general.base_model.0.organization', 'string', 'Meta Llama'],
      ['general.base_model.0.repo_url', 'string', 'https://huggingface.co/meta-llama/Llama-2-7b'],
      ['general.base_model.1.name', 'string', 'Tiny 7B v2.0'],
      ['general.base_model.1.version', 'string', 'v2.0'],
      ['general.base_model.1.organization', 'string', 'Acme Ai'],
      ['general.base_model.1.repo_url', 'string', 'https://huggingface.co/acme-ai/Tiny-7B-v2.0'],
      ['general.base_model.2.repo_url', 'string', 'https://huggingface.co/a/b/c'],
      ['general.base_model.3.repo_url', 'string', 'ssh://git@x/y'],
      ['general.base_model.4.name', 'string', 'Local Model'],
      ['general.base_model.5.name', 'string', 'A B/C'],
      ['general.base_model.6.name', 'string', 'B'],
      ['general.base_model.6.version', 'string', '1'],
      ['general.base_model.6.doi', 'string', '10.1/x'],
    ],
  },
  {
    title: 'datasets as one text',
    identity: 'm',
    total: 0,
    card: 'datasets: acme/some-set-v1.1\n',
    keyValues: [
      ['general.name', 'string', 'M'],
      ['general.dataset.count', 'u32', 1],
      ['general.dataset.0.name', 'string', 'Some Set v1.1'],
      ['general.dataset.0.version', 'string', 'v1.1'],
      ['general.dataset.0.organization', 'string', 'Acme'],
      ['general.dataset.0.repo_url', 'string', 'https://huggingface.co/acme/some-set-v1.1'],
    ],
  },
  {
    title: 'base_model that is null hides base_models',
    identity: 'm',
    total: 0,
    card: 'base_model:\nbase_models: a/b\ndataset: {a: b}\n',
    keyValues: [
      ['general.name', 'string', 'M'],
      ['general.base_model.count', 'u32', 0],
      ['general.dataset.count', 'u32', 0],
    ],
  },
  {
    title: 'a second key when the first is null',
    identity: 'm',
    total: 0,
    card: 'name: ~\nmodel_name: Second\nversion:\nmodel_version: v3\n',
    keyValues: [
      ['general.name', 'string', 'Second'],
      ['general.version', 'string', 'v3'],
    ],
  },
  {
    title: 'an empty name',
    identity: 'Tiny-1M',
    total: 0,
    card: 'name: ""\nbasename: false\n',
    keyValues: [['general.size_label', 'string', '1M']],
  },
  {
    title: 'tags, pipeline tag, language',
    identity: 'm',
    total: 0,
    card: 'pipeline_tag: text-generation\ntags: [x, y]\nlanguage: de\nlanguages: [fr]\n',
    keyValues: [
      ['general.name', 'string', 'M'],
      ['general.tags', 'string[]', ['x', 'y', 'text-generation']],
      ['general.languages', 'string[]', ['fr', 'de']],
    ],
  },
  {
    title: 'lists of one other type',
    identity: 'm',
    total: 0,
    card: 'tags: [1, 0x10, 010]\nlanguages: [1.5, .5]\n',
    keyValues: [
      ['general.name', 'string', 'M'],
      ['general.tags', 'i32[]', [1, 16, 8]],
      ['general.languages', 'f32[]', [1.5, 0.5]],
    ],
  },
  {
    title: 'a list of booleans',
    identity: 'm',
    total: 0,
    card: 'language: [no, on]\n',
    keyValues: [
      ['general.name', 'string', 'M'],
      ['general.languages', 'bool[]', [false, true]],
    ],
  },
  {
    title: 'YAML 1.1 words that stay text',
    identity: 'm',
    total: 0,
    card: 'tags: [y, n, 1e5, 0o7, 08, -.5, .5e3, nUll]\n',
    keyValues: [
      ['general.name', 'string', 'M'],
      ['general.tags', 'string[]', ['y', 'n', '1e5', '0o7', '08', '-.5', '.5e3', 'nUll']],
    ],
  },
  {
    title: 'equal keys: the last counts',
    identity: 'm',
    total: 0,
    card: 'license: a\nlicense: b\n',
    keyValues: [
      ['general.name', 'string', 'M'],
      ['general.license', 'string', 'b'],
    ],
  },
  {
    title: 'anchors and merges',
    identity: 'm',
    total: 0,
    card: 'x: &x {license: mit, author: me}\n<<: *x\nauthor: you\ntags: &t [a, b]\nlanguages: *t\n',
    keyValues: [
      ['general.name', 'string', 'M'],
      ['general.author', 'string', 'you'],
      ['general.license', 'string', 'mit'],
      ['general.tags', 'string[]', ['a', 'b']],
      ['general.languages', 'string[]', ['a', 'b']],
    ],
  },
  {
    title: 'folded and literal text',
    identity: 'm',
    total: 0,
    card: 'description: >-\n  one\n  two\n\n  three\nlicense_name: |\n  kept\n',
    keyValues: [
      ['general.name', 'string', 'M'],
      ['general.description', 'string', 'one two\nthree'],
      ['general.license.name', 'string', 'kept\n'],
    ],
  },
  {
    title: 'lines at column 0 inside brackets and quotes',
    identity: 'm',
    total: 0,
    card: 'tags: [\na,\n"b\nc"\n]\ndescription: "x\ny"\nlicense: mit\n',
    keyValues: [
      ['general.name', 'string', 'M'],
      ['general.description', 'string', 'x y'],
      ['general.license', 'string', 'mit'],
      ['general.tags', 'string[]', ['a', 'b c']],
    ],
  },
  {
    title: 'every source key',
    identity: 'm',
    total: 0,
    card: 'author: a\nversion: v1\norganization: o\ndescription: d\nfinetune: f\nbasename: b\nsize_label: 3B\nurl: u\ndoi: i\nuuid: x\nrepo_url: r\nlicense_link: l\n',
    keyValues: [
      ['general.name', 'string', 'M'],
      ['general.author', 'string', 'a'],
      ['general.version', 'string', 'v1'],
      ['general.organization', 'string', 'o'],
      ['general.finetune', 'string', 'f'],
      ['general.basename', 'string', 'b'],
      ['general.description', 'string', 'd'],
      ['general.size_label', 'string', '3B'],
      ['general.license.link', 'string', 'l'],
      ['general.source.url', 'string', 'u'],
      ['general.source.doi', 'string', 'i'],
      ['general.source.uuid', 'string', 'x'],
      ['general.source.repo_url', 'string', 'r'],
    ],
  },
  {
    title: 'no front matter',
    identity: 'Tiny-1M-Chat',
    total: 0,
    card: undefined,
    keyValues: [
      ['general.name', 'string', 'Tiny 1M Chat'],
      ['general.finetune', 'string', 'Chat'],
      ['general.basename', 'string', 'Tiny'],
      ['general.size_label', 'string', '1M'],
    ],
  },
  {
    title: 'a size in the name that is far off',
    identity: 'Tiny-1M-Chat',
    total: 133_000,
    card: 'license: mit\n',
    keyValues: [
      ['general.name', 'string', 'Tiny 1M Chat'],
      ['general.finetune', 'string', '1m-Chat'],
      ['general.basename', 'string', 'Tiny'],
      ['general.size_label', 'string', '133K'],
      ['general.license', 'string', 'mit'],
    ],
  },
]

interface Files {
  readonly [name: string]: string | Uint8Array
}

function folderOf(files: Files): Folder {
  const bytes = new Map(Object.entries(files).map(([name, content]) => [name, typeof content === 'string' ? new TextEncoder().encode(content) : content]))
  return {
    label: 'memory',
    baseName: 'memory',
    entries: [...bytes].map(([name, content]) => ({ name, byteLength: content.length })),
    has: (name) => bytes.has(name),
    open: async (name) => memorySource(name, bytes.get(name) ?? new Uint8Array()),
  }
}

interface Options {
  readonly files?: Files
  readonly identity?: string
  readonly total?: number
  readonly config?: string
  readonly override?: string
  readonly modelName?: string
}

function json(text: string | undefined): JsonObject {
  return parseJsonObject(new TextEncoder().encode(text ?? '{}'), 'test.json')
}

async function general({ files = {}, identity = 'm', total = 0, config, override, modelName }: Options): Promise<GeneralMetadata> {
  const parameters = { total, shared: Math.abs(total), expert: 0, expertCount: 0 }
  return generalKeyValues({
    folder: folderOf(files),
    identity,
    config: json(config),
    parameters,
    modelName,
    override: override === undefined ? undefined : json(override),
  })
}

const readme = (card: string): Files => ({ 'README.md': `---\n${card}---\n# x\n` })

function rows(keyValues: readonly KeyValue[]): readonly Row[] {
  return keyValues.map(({ key, value }) =>
    value.type === 'array' ? [key, `${value.items}[]`, Array.from(value.value as ArrayLike<unknown>)] : [key, value.type, value.value],
  )
}

function valueOf(metadata: GeneralMetadata, key: string): unknown {
  return metadata.keyValues.find((one) => one.key === key)?.value.value
}

describe('a model card', () => {
  for (const { title, identity, total, card, keyValues } of CARDS) {
    it(`gives what the reference writes: ${title}`, async () => {
      const metadata = await general({ files: card === undefined ? {} : readme(card), identity, total })
      assert.deepEqual(rows(metadata.keyValues), keyValues)
    })
  }

  it('is left out value by value where the reference would fail, with notes that name them', async () => {
    const metadata = await general({
      files: readme('version: 1.0\nlicense: [mit, 3]\nauthor: 2024-01-31\ntags: [a, 7, null]\nname: {a: b}\n'),
      identity: 'Tiny-v2',
    })
    assert.deepEqual(rows(metadata.keyValues), [
      ['general.name', 'string', 'Tiny v2'],
      ['general.version', 'string', 'v2'],
      ['general.basename', 'string', 'Tiny'],
      ['general.license', 'string', 'mit'],
      ['general.tags', 'string[]', ['a']],
    ])
    assert.equal(metadata.notes.length, 6)
    assert.match(metadata.notes.join(' '), /README.md: version is the number 1 where a text \(in quotes\) is wanted/)
    assert.match(metadata.notes.join(' '), /README.md: author is a date/)
  })

  it('that is no YAML does not stop anything, and is noted with its line', async () => {
    const metadata = await general({ files: readme('license: mit\nname: a: b\n'), identity: 'Tiny' })
    assert.deepEqual(rows(metadata.keyValues), [['general.name', 'string', 'Tiny']])
    assert.match(metadata.notes[0] ?? '', /README.md cannot be read and is not used: line 3:/)
  })

  it('that is not UTF-8 is noted and not used', async () => {
    const metadata = await general({ files: { 'README.md': Uint8Array.of(0x2d, 0x2d, 0x2d, 0x0a, 0x61, 0x3a, 0xff) } })
    assert.match(metadata.notes[0] ?? '', /not valid UTF-8/)
  })

  it('with Windows line ends reads as with others', async () => {
    const metadata = await general({ files: { 'README.md': '---\r\nlicense: mit\r\nlanguage:\r\n- no\r\n---\r\n' } })
    assert.equal(valueOf(metadata, 'general.license'), 'mit')
    assert.deepEqual(valueOf(metadata, 'general.languages'), ['no'])
  })

  it('after a byte order mark is no card to the reference: noted', async () => {
    const metadata = await general({ files: { 'README.md': '\ufeff---\nlicense: mit\n---\n' } })
    assert.equal(valueOf(metadata, 'general.license'), undefined)
    assert.match(metadata.notes[0] ?? '', /byte order mark/)
  })

  it('names at most 20 values that are left out', async () => {
    const metadata = await general({ files: readme(`base_model:\n${'- 5\n'.repeat(1000)}`) })
    assert.equal(valueOf(metadata, 'general.base_model.count'), 1000)
    assert.equal(metadata.notes.length, 21)
    assert.match(metadata.notes[20] ?? '', /980 more/)
  })

  it('names at most 10,000 base models', async () => {
    const metadata = await general({ files: readme(`base_model:\n${'- a\n'.repeat(10_001)}`) })
    assert.equal(valueOf(metadata, 'general.base_model.count'), 10_000)
    assert.match(metadata.notes[0] ?? '', /10001 entries/)
  })
})

describe('generation_config.json', () => {
  it('gives the sampling keys in the order of the writer, with its types', async () => {
    const files = {
      'generation_config.json':
        '{"mirostat": true, "temperature": 0.6, "top_k": 40, "top_p": 1, "repetition_penalty": 1.1, "min_p": null, "sequence": "k;p", "do_sample": true}',
    }
    assert.deepEqual(rows((await general({ files })).keyValues), [
      ['general.sampling.sequence', 'string', 'k;p'],
      ['general.sampling.top_k', 'i32', 40],
      ['general.sampling.top_p', 'f32', 1],
      ['general.sampling.temp', 'f32', Math.fround(0.6)],
      ['general.sampling.penalty_repeat', 'f32', Math.fround(1.1)],
      ['general.sampling.mirostat', 'i32', 1],
      ['general.name', 'string', 'M'],
    ])
  })

  it('lets penalty_repeat hide repetition_penalty, even with null', async () => {
    const metadata = await general({ files: { 'generation_config.json': '{"penalty_repeat": null, "repetition_penalty": 1.1}' } })
    assert.equal(valueOf(metadata, 'general.sampling.penalty_repeat'), undefined)
  })

  it('with values that do not fit is left out value by value', async () => {
    const metadata = await general({
      files: { 'generation_config.json': '{"top_k": 50.5, "penalty_last_n": 3000000000, "top_p": "0.9", "temperature": 1e39, "min_p": 0}' },
    })
    assert.deepEqual(rows(metadata.keyValues).slice(0, 2), [
      ['general.sampling.min_p', 'f32', 0],
      ['general.name', 'string', 'M'],
    ])
    assert.equal(metadata.notes.length, 4)
  })

  it('that is no JSON, or no object, is noted and not used', async () => {
    for (const text of ['{"top_k": 1,}', '', '[1]']) {
      const metadata = await general({ files: { 'generation_config.json': text } })
      assert.deepEqual(rows(metadata.keyValues), [['general.name', 'string', 'M']])
      assert.equal(metadata.notes.length, 1)
    }
  })

  it('that cannot be opened is noted and not used', async () => {
    const folder: Folder = {
      ...folderOf({ 'generation_config.json': '', 'README.md': '' }),
      open: async (name) => {
        throw new FileSystemError('permission denied.', { file: name })
      },
    }
    const metadata = await generalKeyValues({ folder, identity: 'm', config: new Map(), parameters: { total: 0, shared: 0, expert: 0, expertCount: 0 } })
    assert.equal(metadata.notes.length, 2)
    assert.equal(metadata.name, 'M')
  })
})

describe('names', () => {
  it('come from _name_or_path before the folder, when it is no path', async () => {
    const config = '{"_name_or_path": "acme/Foo-7B-v2"}'
    const metadata = await general({ config, identity: 'Bar-Chat' })
    assert.deepEqual([metadata.name, metadata.basename, metadata.finetune, metadata.version, metadata.sizeLabel], ['Foo 7B v2', 'Foo', 'Chat', 'v2', '7B'])
    assert.equal(valueOf(metadata, 'general.organization'), 'Acme')
    assert.equal((await general({ config: '{"_name_or_path": "/home/me/Foo-7B"}', identity: 'Bar' })).name, 'Bar')
  })

  it('stay empty when _name_or_path is empty, as in the reference', async () => {
    const metadata = await general({ config: '{"_name_or_path": ""}', identity: 'Bar' })
    assert.equal(metadata.name, '')
    assert.deepEqual(metadata.keyValues, [])
  })

  it('take the size from the parameters when no name tells it', async () => {
    assert.equal((await general({ identity: 'gpt2-tiny', total: 133_400 })).sizeLabel, '133K')
    assert.equal((await general({ identity: 'gpt2-tiny', total: 0 })).sizeLabel, undefined)
    assert.equal((await general({ identity: 'gpt2-tiny', total: -133_400 })).sizeLabel, undefined)
  })
})

describe('options', () => {
  it('let an empty object in --metadata empty a list, as in the reference', async () => {
    const metadata = await general({ files: readme('tags: [a]\nbase_model: x/y\n'), override: '{"general.tags": {}, "general.base_models": {}}' })
    assert.deepEqual(rows(metadata.keyValues), [
      ['general.name', 'string', 'M'],
      ['general.base_model.count', 'u32', 0],
    ])
  })

  it('let --model-name set the name and nothing else', async () => {
    const metadata = await general({ identity: 'Tiny-1M-Chat', modelName: 'My Model 7B', override: '{"general.name": "O"}' })
    assert.deepEqual([metadata.name, metadata.basename, metadata.sizeLabel], ['My Model 7B', 'Tiny', '1M'])
  })

  it('let --metadata set keys, null take them back, and the folder name stand raw for a name taken back', async () => {
    const override =
      '{"general.name": null, "general.author": "me", "general.sampling.top_k": 7, "general.tags": [], "general.license.name": "own", "general.base_models": [{"name": "B", "author": null}]}'
    const files = { ...readme('license: mit\ntags: [a]\nauthor: you\nbase_model: x/y\n'), 'generation_config.json': '{"top_k": 40}' }
    assert.deepEqual(rows((await general({ files, identity: 'tiny-llama', override })).keyValues), [
      ['general.sampling.top_k', 'i32', 7],
      ['general.name', 'string', 'tiny-llama'],
      ['general.author', 'string', 'me'],
      ['general.license', 'string', 'mit'],
      ['general.license.name', 'string', 'own'],
      ['general.base_model.count', 'u32', 1],
      ['general.base_model.0.name', 'string', 'B'],
    ])
  })

  it('note the keys of --metadata that have no effect', async () => {
    const metadata = await general({ override: '{"general.license": "mit", "general.license_name": "custom"}' })
    assert.match(metadata.notes[0] ?? '', /"general.license", "general.license_name" cannot be set that way and are not used/)
    assert.deepEqual(rows(metadata.keyValues), [['general.name', 'string', 'M']])
  })

  it('fall back to the other sources for a value of --metadata that cannot be written', async () => {
    const metadata = await general({
      files: readme('version: v1\ntags: [a]\n'),
      override: '{"general.version": 2, "general.tags": {"a": 1}, "general.datasets": 5}',
    })
    assert.equal(metadata.version, 'v1')
    assert.deepEqual(valueOf(metadata, 'general.tags'), ['a'])
    assert.equal(metadata.notes.length, 3)
  })
})
