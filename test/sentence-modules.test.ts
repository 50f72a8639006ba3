/** What modules.json of a sentence-transformers folder says of pooling, and that GGUFs of encoders have it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { UnsupportedError, FormatError } from '../src/core/errors.js'
import { architectureKeyValues, readHparams } from '../src/architectures/convert.js'
import { findArchitecture } from '../src/architectures/registry.js'
import { parseJsonObject } from '../src/core/json.js'
import { sentencePooling } from '../src/plan/sentence-modules.js'
import { memoryFolder } from './support/memory-folder.js'

const MODULES = JSON.stringify([
  { idx: 0, path: '', type: 'sentence_transformers.models.Transformer' },
  { idx: 1, path: '1_Pooling', type: 'sentence_transformers.models.Pooling' },
])
const BERT = {
  architectures: ['BertModel'],
  num_hidden_layers: 1,
  hidden_size: 8,
  num_attention_heads: 2,
  intermediate_size: 8,
  vocab_size: 9,
  model_type: 'bert',
}

const pooling = (config: object, modules = MODULES): Promise<string | undefined> =>
  sentencePooling(memoryFolder({ 'modules.json': modules, '1_Pooling/config.json': JSON.stringify(config) }))

function bertKeys(changes: object, name?: string): Map<string, unknown> {
  const config = parseJsonObject(Buffer.from(JSON.stringify({ ...BERT, ...changes })), 'config.json')
  const architecture = findArchitecture(config, 'config.json')
  const hparams = readHparams(architecture, config, 'config.json', new Map(), { pooling: name })
  return new Map(architectureKeyValues(architecture, hparams, 1).map(({ key, value }) => [key, value.value]))
}

describe('sentence pooling', () => {
  it('is read from switches, as older versions write them, and from a name', async () => {
    assert.equal(await pooling({ pooling_mode_mean_tokens: true }), 'mean')
    assert.equal(await pooling({ pooling_mode_cls_token: true, pooling_mode_mean_tokens: false }), 'cls')
    assert.equal(await pooling({ pooling_mode_lasttoken: true }), 'lasttoken')
    assert.equal(await pooling({ pooling_mode: 'lasttoken' }), 'lasttoken')
  })

  it('is none where the folder has no such module', async () => {
    assert.equal(await pooling({}, '[]'), undefined)
    assert.equal(await sentencePooling(memoryFolder({})), undefined)
  })

  it('refuses a modules.json that is no list', async () => {
    await assert.rejects(pooling({}, '{}'), FormatError)
  })

  it('becomes pooling_type', () => {
    assert.equal(bertKeys({}, 'mean').get('bert.pooling_type'), 1)
    assert.equal(bertKeys({}, 'cls').get('bert.pooling_type'), 2)
    assert.equal(bertKeys({}, 'lasttoken').get('bert.pooling_type'), 3)
    assert.equal(bertKeys({}).has('bert.pooling_type'), false)
  })

  it('that llama.cpp does not have is refused by its name', () => {
    assert.throws(
      () => bertKeys({}, 'max'),
      (error: unknown) => error instanceof UnsupportedError && /"max"/.test(error.message),
    )
  })
})

describe('labels of a classifier', () => {
  const labels = (id2label: object): unknown => bertKeys({ id2label }).get('bert.classifier.output_labels')

  it('stand in the order of their numbers, not of their spelling', () => {
    assert.deepEqual(labels(Object.fromEntries([10, 2, 1, 0].map((id) => [id, `l${id}`]))), ['l0', 'l1', 'l2', 'l10'])
  })

  it('are none when they are the two that transformers fills in', () => {
    assert.equal(labels({ 0: 'LABEL_0', 1: 'LABEL_1' }), undefined)
    assert.deepEqual(labels({ 0: 'LABEL_0' }), ['LABEL_0'])
  })
})

describe('an XLM-RoBERTa with adapters inside', () => {
  it('is refused, not converted without them', () => {
    assert.throws(
      () => findArchitecture(parseJsonObject(Buffer.from('{"architectures": ["XLMRobertaModel"], "lora_adaptations": ["a"]}'), 'config.json'), 'config.json'),
      UnsupportedError,
    )
  })
})
