// The JetStream API, request by request: the same requests to candela and to nats-server, and what comes back is the same,
// apart from times and what newer servers add.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { StringCodec, headers } from 'nats';
import { startParity } from './lib/parity.mjs';

const sc = StringCodec();
const TIMES = new Set(['created', 'ts', 'time', 'first_ts', 'last_ts', 'last_active', 'pause_remaining', 'total', 'cluster', 'offset', 'limit']);
const S = 1e9;

// [subject below $JS.API., body, since]; a string alone is published to that subject as "subject payload"; a number of
// headers may follow. The order matters: each works on what those before it made.
const api = (subject, body = '', since = '2.9') => ({ subject: `$JS.API.${subject}`, body: typeof body === 'string' ? body : JSON.stringify(body), since });
const pub = (subject, payload = '', heads = {}, since = '2.9') => ({ subject, body: payload, heads, since });

const STREAMS = [
  api('INFO'),
  api('STREAM.NAMES'),
  api('STREAM.LIST'),
  api('STREAM.CREATE.A', { name: 'A', subjects: ['a.*'] }),
  api('STREAM.CREATE.A', { name: 'A', subjects: ['a.*'] }),
  api('STREAM.CREATE.A', { name: 'A', subjects: ['a.b'] }),
  api('STREAM.CREATE.B', { name: 'A', subjects: ['b'] }),
  api('STREAM.CREATE.B', { name: 'B', subjects: ['a.x'] }),
  api('STREAM.CREATE.B', { name: 'B', subjects: ['b', 'b'] }),
  api('STREAM.CREATE.B', { name: 'B', subjects: ['b..c'] }),
  api('STREAM.CREATE.B', { name: 'B', subjects: ['$JS.API.x'] }),
  api('STREAM.CREATE.B', { name: 'B', subjects: ['>'] }),
  ...['$SYS.x', '$SYS.ACCOUNT.x', '*.>', '*.API.>', '$JS.>', '$JS.EVENT.>', '$JSC.x'].flatMap((subject) => [
    // One that takes the news of its own creation may have it already or not.
    { ...api('STREAM.CREATE.SUB', { name: 'SUB', subjects: [subject] }, '2.10'), hasState: subject !== '$JS.EVENT.>' },
    api('STREAM.DELETE.SUB', '', '2.10'),
  ]),
  api('STREAM.CREATE.B', { name: 'B', subjects: ['>', 'b'] }, '2.10'),
  api('STREAM.CREATE.B', '{"name": "B"'),
  api('STREAM.CREATE.B', '[]'),
  api('STREAM.CREATE.B', { subjects: ['b'] }),
  api('STREAM.CREATE.B', ''),
  api('STREAM.DELETE.B'),
  api('STREAM.CREATE.B', { name: 'B', subjects: ['b'], max_age: -5 }),
  api('STREAM.CREATE.B', { name: 'B', subjects: ['b'], max_age: -5, duplicate_window: S }),
  api('STREAM.CREATE.B', { name: 'B', subjects: ['b'], max_age: 5 }),
  api('STREAM.CREATE.B', { name: 'B', subjects: ['b'], max_age: 50 * S, duplicate_window: 100 * S }),
  api('STREAM.CREATE.B', { name: 'B', subjects: ['b'], duplicate_window: -1 }),
  api('STREAM.CREATE.B', { name: 'B', subjects: ['b'], num_replicas: 3 }),
  api('STREAM.CREATE.B', { name: 'B', subjects: ['b'], retention: 'nonsense' }),
  api('STREAM.CREATE.B', { name: 'B', subjects: ['b'], discard_new_per_subject: true }),
  api('STREAM.CREATE.B', { name: 'B', subjects: ['b'], deny_purge: true, allow_rollup_hdrs: true }),
  api('STREAM.CREATE.B', { name: 'B', retention: 'workqueue', storage: 'memory', max_msgs: 10, max_bytes: 10000, max_age: 3600 * S, max_msg_size: 500, discard: 'new', description: 'all' }),
  api('STREAM.INFO.B'),
  api('STREAM.INFO.NONE'),
  api('STREAM.UPDATE.B', { name: 'B', retention: 'limits', storage: 'memory' }),
  api('STREAM.UPDATE.B', { name: 'B', retention: 'workqueue', storage: 'file' }),
  api('STREAM.UPDATE.B', { name: 'B', retention: 'workqueue', storage: 'memory', max_msgs: 5 }),
  api('STREAM.UPDATE.NONE', { name: 'NONE' }),
  api('STREAM.UPDATE.B', ''),
  api('STREAM.UPDATE.B', { subjects: ['b'] }),
  api('STREAM.UPDATE.B', { name: 'A', subjects: ['b'] }),
  // Tokens that are too many, bodies where there is nothing to say, blanks.
  ...['STREAM.INFO.B.x', 'STREAM.DELETE.B.x', 'STREAM.PURGE.B.x', 'STREAM.NAMES.x', 'STREAM.MSG.GET.B.x'].map((subject) => api(subject)),
  api('STREAM.DELETE.B', 'body'),
  api('STREAM.DELETE.B', ' '),
  api('STREAM.DELETE.NONE', 'body'),
  api('STREAM.INFO.B', ' '),
  api('STREAM.INFO.B', '{'),
  api('STREAM.INFO.B', '[]'),
  api('STREAM.NAMES', '{'),
  api('STREAM.NAMES', { offset: 9 }),
  api('STREAM.LIST', { offset: 9 }),
  api('STREAM.NAMES', { subject: 'no.such' }),
  api('STREAM.CREATE.C.D', { name: 'C.D' }),
  pub('a.1', 'one'),
  pub('a.2', 'two', { 'Nats-Msg-Id': 'id2' }),
  pub('a.2', 'two', { 'Nats-Msg-Id': 'id2' }),
  pub('a.3', 'three', { 'Nats-Expected-Stream': 'B' }),
  pub('a.3', 'three', { 'Nats-Expected-Last-Sequence': '9' }),
  pub('a.3', 'three', { 'Nats-Expected-Last-Sequence': 'x' }),
  pub('a.3', 'three', { 'Nats-Expected-Last-Msg-Id': 'id2', 'Nats-Expected-Last-Sequence': '2', 'Nats-Expected-Last-Subject-Sequence': '0', 'Nats-Expected-Stream': 'A' }),
  pub('a.3', 'three', { 'Nats-Expected-Last-Msg-Id': 'id2' }),
  pub('a.2', 'more', { 'Nats-Expected-Last-Subject-Sequence': '1' }),
  pub('a.2', 'more', { 'Nats-Expected-Last-Subject-Sequence': '2', Own: 'header' }),
  pub('a.1', 'x', { 'Nats-Rollup': 'sub' }),
  pub('b', 'x'.repeat(501)),
  pub('B', 'w1'),
  pub('nowhere', 'x'),
  api('STREAM.INFO.A'),
  api('STREAM.INFO.A', { subjects_filter: 'a.2' }),
  api('STREAM.INFO.A', { subjects_filter: '>', deleted_details: true }),
  api('STREAM.MSG.GET.A', { seq: 1 }),
  api('STREAM.MSG.GET.A', { seq: 4 }),
  api('STREAM.MSG.GET.A', { last_by_subj: 'a.2' }),
  api('STREAM.MSG.GET.A', { next_by_subj: 'a.2', seq: 3 }),
  api('STREAM.MSG.GET.A', { next_by_subj: 'a.*', seq: 1 }),
  api('STREAM.MSG.GET.A', { seq: 99 }),
  api('STREAM.MSG.GET.A', { last_by_subj: 'a.9' }),
  api('STREAM.MSG.GET.A', { seq: 1, last_by_subj: 'a.2' }),
  api('STREAM.MSG.GET.A', {}),
  api('STREAM.MSG.GET.A', ''),
  api('STREAM.MSG.GET.NONE', { seq: 1 }),
  api('STREAM.MSG.GET.NONE', {}),
  api('STREAM.MSG.GET.A', { seq: -1 }),
  api('STREAM.MSG.GET.A', { seq: 1, next_by_subj: 'a.*', last_by_subj: 'a.1' }),
  api('STREAM.MSG.GET.A', { next_by_subj: 'a.*' }),
  api('STREAM.MSG.DELETE.A', ''),
  api('STREAM.MSG.DELETE.A', {}),
  api('STREAM.MSG.DELETE.A', '{'),
  api('STREAM.MSG.DELETE.NONE', ''),
  api('STREAM.MSG.DELETE.A', { seq: 2 }),
  api('STREAM.MSG.DELETE.A', { seq: 2 }),
  api('STREAM.MSG.DELETE.A', { seq: 77 }),
  api('STREAM.INFO.A', { deleted_details: true }),
  api('STREAM.NAMES', { subject: 'a.1' }),
  api('STREAM.NAMES', { subject: 'b' }),
  api('STREAM.NAMES', { offset: 1 }),
  api('STREAM.LIST', { subject: 'a.*' }),
  api('STREAM.PURGE.A', { filter: 'a.1' }),
  api('STREAM.PURGE.A', { keep: 1, seq: 2 }),
  api('STREAM.PURGE.A', { seq: 4 }),
  api('STREAM.PURGE.A', { keep: 1 }),
  api('STREAM.PURGE.A', ''),
  api('STREAM.PURGE.NONE', ''),
  pub('a.1', 'after'),
  api('STREAM.INFO.A'),
  api('STREAM.UPDATE.A', { name: 'A', subjects: ['a.*', 'c'], max_msgs_per_subject: 1, allow_direct: true, allow_rollup_hdrs: true, deny_delete: true }),
  pub('c', 'c1'),
  pub('c', 'c2'),
  pub('a.1', 'rolled', { 'Nats-Rollup': 'all' }),
  pub('a.1', 'rolled', { 'Nats-Rollup': '' }),
  api('STREAM.MSG.DELETE.A', { seq: 8 }),
  api('STREAM.INFO.A', { subjects_filter: '>' }),
  api('DIRECT.GET.A', { seq: 8 }),
  api('DIRECT.GET.A', { last_by_subj: 'a.1' }),
  api('DIRECT.GET.A', { seq: 1 }),
  api('DIRECT.GET.A', { seq: 999 }),
  api('DIRECT.GET.A', { next_by_subj: 'a.1', seq: 1 }),
  api('DIRECT.GET.A', {}),
  api('DIRECT.GET.A', ''),
  ...[' ', '{', '[]', '{"seq":-1}'].map((body) => api('DIRECT.GET.A', body)),
  api('DIRECT.GET.NONE', { seq: 1 }, '2.10'),
  api('DIRECT.GET.A.a.1'),
  api('DIRECT.GET.A.a.9'),
  api('STREAM.UPDATE.A', { name: 'A', subjects: ['a.*'], deny_delete: false }),
  api('STREAM.DELETE.B'),
  api('STREAM.DELETE.B'),
  // Limits as they are met.
  api('STREAM.CREATE.L', { name: 'L', subjects: ['l.*'], max_msgs: 2, discard: 'new', max_msgs_per_subject: 1, discard_new_per_subject: true }),
  pub('l.1', '1'),
  pub('l.1', '2'),
  pub('l.2', '3'),
  pub('l.3', '4'),
  api('STREAM.CREATE.O', { name: 'O', subjects: ['o'], max_msgs: 2, max_msg_size: 4 }),
  pub('o', '1'),
  pub('o', '2'),
  pub('o', '3'),
  pub('o', '12345'),
  api('STREAM.INFO.O'),
  api('STREAM.CREATE.N', { name: 'N', subjects: ['n'], no_ack: true }),
  api('STREAM.CREATE.T', { name: 'T', template_owner: 'x' }),
  api('STREAM.CREATE.S', { name: 'S', subjects: ['s'], sealed: true }),
  api('STREAM.CREATE.MD', { name: 'MD', subjects: ['md'], metadata: { owner: 'me' }, compression: 's2' }, '2.10'),
  api('STREAM.CREATE.FS', { name: 'FS', subjects: ['fs'], first_seq: 100 }, '2.10'),
  pub('fs', 'x', {}, '2.10'),
  api('STREAM.CREATE.ST', { name: 'ST', subjects: ['st.*'], subject_transform: { src: 'st.*', dest: 'out.{{wildcard(1)}}' } }, '2.10'),
  pub('st.1', 'x', {}, '2.10'),
  api('STREAM.MSG.GET.ST', { seq: 1 }, '2.10'),
  api('NOTHING.LIKE.THIS'),
];

const PULLS = ['rubbish', '-3', '0', ' 2 ', '5 rubbish', '[1]', '"1"', '+1', '1.0', '  {"batch":1}', '{}', '{"batch":-1}', '{"batch":0,"no_wait":true}', '{"idle_heartbeat":100000000}', '{"max_bytes":-1}', '{"expires":-5}'];

const CONSUMERS = [
  api('CONSUMER.CREATE.A', ''),
  api('CONSUMER.DURABLE.CREATE.A.d', ''),
  api('CONSUMER.CREATE.A', {}),
  api('CONSUMER.CREATE.A', { stream_name: 'A' }),
  api('CONSUMER.CREATE.A', { stream_name: 'A', config: { durable_name: 'd' } }),
  api('CONSUMER.DURABLE.CREATE.A.d', { stream_name: 'A', config: { name: 'd' } }),
  api('CONSUMER.CREATE.A.d', { stream_name: 'A', action: 'nonsense', config: {} }, '2.10'),
  api('CONSUMER.CREATE.A.d.a.1', { stream_name: 'A', config: { filter_subjects: ['a.1'] } }, '2.10'),
  api('STREAM.CREATE.A', { name: 'A', subjects: ['a.*'] }),
  ...['a.1', 'a.2', 'a.1', 'a.3'].map((subject, i) => pub(subject, `${i + 1}`)),
  api('CONSUMER.NAMES.A'),
  api('CONSUMER.LIST.A'),
  api('CONSUMER.NAMES.NONE'),
  api('CONSUMER.INFO.A.none'),
  api('CONSUMER.DURABLE.CREATE.A.d', { stream_name: 'A', config: { durable_name: 'd', ack_policy: 'explicit' } }),
  api('CONSUMER.DURABLE.CREATE.A.d', { stream_name: 'A', config: { durable_name: 'd', ack_policy: 'explicit' } }),
  api('CONSUMER.DURABLE.CREATE.A.d', { stream_name: 'A', config: { durable_name: 'd', ack_policy: 'explicit', filter_subject: 'a.1' } }),
  api('CONSUMER.DURABLE.CREATE.A.d', { stream_name: 'A', config: { durable_name: 'd', ack_policy: 'none' } }),
  api('CONSUMER.DURABLE.CREATE.A.d', { stream_name: 'A', config: { durable_name: 'e', ack_policy: 'none' } }),
  api('CONSUMER.DURABLE.CREATE.A.d', { stream_name: 'B', config: { durable_name: 'd' } }),
  api('CONSUMER.CREATE.A.named', { stream_name: 'A', config: { name: 'named', ack_policy: 'none', deliver_policy: 'last', inactive_threshold: 600 * S } }),
  api('CONSUMER.CREATE.A.filtered.a.1', { stream_name: 'A', config: { name: 'filtered', durable_name: 'filtered', ack_policy: 'all', filter_subject: 'a.1' } }),
  api('CONSUMER.CREATE.A.wrong.a.2', { stream_name: 'A', config: { name: 'wrong', filter_subject: 'a.1' } }),
  api('CONSUMER.CREATE.A.wrong', { stream_name: 'A', config: { name: 'other', inactive_threshold: 600 * S } }),
  api('CONSUMER.CREATE.A.nothing', { stream_name: 'A', config: { filter_subject: 'nothing' } }),
  api('CONSUMER.DELETE.A.nothing'),
  api('CONSUMER.CREATE.A.x', { stream_name: 'A', config: { name: 'x', deliver_policy: 'by_start_sequence' } }),
  api('CONSUMER.CREATE.A.x', { stream_name: 'A', config: { name: 'x', deliver_policy: 'by_start_time' } }),
  api('CONSUMER.CREATE.A.x', { stream_name: 'A', config: { name: 'x', opt_start_seq: 5 } }),
  api('CONSUMER.CREATE.A.x', { stream_name: 'A', config: { name: 'x', deliver_policy: 'last_per_subject' } }),
  api('CONSUMER.CREATE.A.x', { stream_name: 'A', config: { name: 'x', max_deliver: 2, backoff: [S, S, S] } }),
  api('CONSUMER.CREATE.A.x', { stream_name: 'A', config: { name: 'x', ack_policy: 'explicit', max_deliver: 5, backoff: [S, 2 * S], inactive_threshold: 600 * S } }),
  api('CONSUMER.CREATE.A.y', { stream_name: 'A', config: { name: 'y', deliver_subject: 'a.7' } }),
  api('CONSUMER.CREATE.A.y', { stream_name: 'A', config: { name: 'y', deliver_subject: 'in.*' } }),
  api('CONSUMER.CREATE.A.y', { stream_name: 'A', config: { name: 'y', idle_heartbeat: S } }),
  api('CONSUMER.CREATE.A.y', { stream_name: 'A', config: { name: 'y', flow_control: true } }),
  api('CONSUMER.CREATE.A.y', { stream_name: 'A', config: { name: 'y', rate_limit_bps: 100 } }),
  api('CONSUMER.CREATE.A.y', { stream_name: 'A', config: { name: 'y', deliver_subject: 'in', max_waiting: 5 } }),
  api('CONSUMER.CREATE.A.y', { stream_name: 'A', config: { name: 'y', deliver_subject: 'in', flow_control: true } }),
  api('CONSUMER.CREATE.A.y', { stream_name: 'A', config: { name: 'y', deliver_subject: 'in', idle_heartbeat: 1 } }),
  api('CONSUMER.CREATE.A.y', { stream_name: 'A', config: { name: 'y', deliver_subject: 'in', flow_control: true, idle_heartbeat: 60 * S, deliver_group: 'g', max_ack_pending: 5, ack_policy: 'explicit', inactive_threshold: 600 * S } }),
  api('CONSUMER.CREATE.A.z', { stream_name: 'A', config: { name: 'z', sample_freq: '150%' } }),
  ...['abc', '%', '5%%', ' 5', '99999999999999999999'].map((sample_freq) => api('CONSUMER.CREATE.A.zs', { stream_name: 'A', config: { sample_freq } })),
  api('CONSUMER.CREATE.A.z', { stream_name: 'A', config: { name: 'z', durable_name: 'zz' } }),
  api('CONSUMER.CREATE.A.z', { stream_name: 'A', config: { name: 'z', headers_only: true, max_batch: 3, max_expires: 5 * S, max_bytes: 1000, inactive_threshold: 60 * S, description: 'bounded' } }),
  api('CONSUMER.CREATE.A', '{"stream_name":"A","config":'),
  api('CONSUMER.CREATE.NONE', { stream_name: 'NONE', config: {} }),
  api('CONSUMER.CREATE.A.b.d', { stream_name: 'A', config: { name: 'b.d', inactive_threshold: 600 * S } }),
  api('CONSUMER.CREATE.A.bare', { stream_name: 'A' }),
  api('CONSUMER.CREATE.A.bare', { stream_name: 'A', config: null }),
  api('CONSUMER.DELETE.A.bare'),
  api('CONSUMER.CREATE.A', { stream_name: 'A', config: [] }),
  api('CONSUMER.CREATE.A.mine.a.1', { stream_name: 'A', config: { name: 'other', filter_subject: 'a.1', inactive_threshold: 600 * S } }),
  api('CONSUMER.CREATE.A.mine.a.1', { stream_name: 'A', config: { durable_name: 'other', filter_subject: 'a.2' } }),
  api('CONSUMER.CREATE.A.mine.a.1', { stream_name: 'A', config: { filter_subject: 'a.2', filter_subjects: ['a.1'] } }, '2.10'),
  ...[{}, { deliver_subject: 'x.*' }, { filter_subject: 'no' }, { filter_subject: 'no', deliver_policy: 'by_start_sequence' }, { deliver_policy: 'by_start_sequence' }, { sample_freq: 'x' }, { max_deliver: 1, backoff: [S, S] }, { max_deliver: 1, backoff: [S, S], deliver_subject: 'x.*' }].map((more) =>
    api('CONSUMER.DURABLE.CREATE.A.dd', { stream_name: 'A', config: { durable_name: 'dd', name: 'ee', ack_policy: 'explicit', ...more } })),
  ...[{}, { deliver_subject: 'x.*' }, { deliver_policy: 'by_start_sequence' }, { sample_freq: 'x' }].map((more) =>
    api('CONSUMER.CREATE.A.both', { stream_name: 'A', config: { filter_subject: 'a.1', filter_subjects: ['a.2'], ...more } }, '2.10')),
  ...[{ deliver_policy: 'by_start_sequence' }, { sample_freq: 'x' }, { max_deliver: 1, backoff: [S, S] }].flatMap((more) => [
    api('CONSUMER.CREATE.A.order', { stream_name: 'A', config: { filter_subject: 'no', ...more } }),
    api('CONSUMER.CREATE.A.order', { stream_name: 'A', config: { filter_subjects: ['a.1', 'a.*'], ...more } }, '2.10'),
  ]),
  api('CONSUMER.INFO.A.d'),
  api('CONSUMER.INFO.A.filtered'),
  api('CONSUMER.INFO.A.d', 'body'),
  api('CONSUMER.DELETE.A.d', 'body'),
  api('CONSUMER.NAMES.A', '{'),
  api('CONSUMER.NAMES.A', { offset: 99 }),
  api('CONSUMER.LIST.A', { offset: 99 }),
  ...PULLS.flatMap((body, i) => [
    api(`CONSUMER.CREATE.A.pull${i}`, { stream_name: 'A', config: { ack_policy: 'explicit', inactive_threshold: 600 * S } }),
    api(`CONSUMER.MSG.NEXT.A.pull${i}`, body, body.includes('expires') ? '2.10' : '2.9'),
    api(`CONSUMER.DELETE.A.pull${i}`, {}),
  ]),
  api('CONSUMER.MSG.NEXT.A.none', '1', '2.10'),
  api('CONSUMER.MSG.NEXT.NONE.none', '1', '2.10'),
  // Where they begin.
  ...['last', 'new', 'all'].flatMap((deliver_policy) => ['none', 'all', 'explicit'].flatMap((ack_policy) => [
    api('CONSUMER.CREATE.A.from', { stream_name: 'A', config: { deliver_policy, ack_policy } }),
    api('CONSUMER.MSG.NEXT.A.from', { batch: 1, no_wait: true }),
    api('CONSUMER.INFO.A.from'),
    api('CONSUMER.DELETE.A.from'),
  ])),
  api('CONSUMER.NAMES.A'),
  api('CONSUMER.NAMES.A', { offset: 2 }),
  api('CONSUMER.MSG.NEXT.A.d', '1'),
  api('CONSUMER.MSG.NEXT.A.d', { batch: 1, no_wait: true }),
  api('CONSUMER.MSG.NEXT.A.filtered', { batch: 1, no_wait: true }),
  api('CONSUMER.MSG.NEXT.A.named', { batch: 1, no_wait: true }),
  api('CONSUMER.MSG.NEXT.A.named', { batch: 1, no_wait: true }),
  api('CONSUMER.MSG.NEXT.A.named', { batch: 1, expires: 50e6 }),
  api('CONSUMER.MSG.NEXT.A.named', { batch: 1, expires: 50e6, idle_heartbeat: 40e6 }),
  api('CONSUMER.MSG.NEXT.A.named', 'rubbish'),
  api('CONSUMER.MSG.NEXT.A.y', { batch: 1, no_wait: true }),
  api('CONSUMER.MSG.NEXT.A.z', { batch: 4, no_wait: true }),
  api('CONSUMER.MSG.NEXT.A.z', { batch: 1, expires: 6 * S }),
  api('CONSUMER.MSG.NEXT.A.z', { batch: 1, max_bytes: 2000, no_wait: true }),
  api('CONSUMER.INFO.A.d'),
  api('CONSUMER.INFO.A'),
  api('CONSUMER.NAMES.A.x'),
  api('CONSUMER.DELETE.A.d.x'),
  api('CONSUMER.DURABLE.CREATE.A.d.x', { stream_name: 'A', config: { durable_name: 'd' } }),
  api('CONSUMER.DELETE.A.d'),
  api('CONSUMER.DELETE.A.d'),
  api('CONSUMER.DELETE.NONE.d'),
  api('CONSUMER.NAMES.A'),
  api('STREAM.INFO.A'),
  // A work queue.
  api('STREAM.CREATE.W', { name: 'W', subjects: ['w.*'], retention: 'workqueue' }),
  api('CONSUMER.CREATE.W.one', { stream_name: 'W', config: { name: 'one', durable_name: 'one', ack_policy: 'explicit', filter_subject: 'w.1' } }),
  api('CONSUMER.CREATE.W.two', { stream_name: 'W', config: { name: 'two', durable_name: 'two', ack_policy: 'explicit' } }),
  api('CONSUMER.CREATE.W.two', { stream_name: 'W', config: { name: 'two', durable_name: 'two', ack_policy: 'explicit', filter_subject: 'w.1' } }),
  api('CONSUMER.CREATE.W.two', { stream_name: 'W', config: { name: 'two', durable_name: 'two', ack_policy: 'none', filter_subject: 'w.2' } }),
  api('CONSUMER.CREATE.W.two', { stream_name: 'W', config: { name: 'two', durable_name: 'two', ack_policy: 'explicit', filter_subject: 'w.2', deliver_policy: 'new' } }),
  api('CONSUMER.CREATE.W.two', { stream_name: 'W', config: { name: 'two', durable_name: 'two', ack_policy: 'explicit', filter_subject: 'w.2' } }),
  api('CONSUMER.CREATE.A.m', { stream_name: 'A', config: { name: 'm', filter_subjects: ['a.1', 'a.3'], metadata: { k: 'v' } } }, '2.10'),
  api('CONSUMER.INFO.A.m', '', '2.10'),
  api('CONSUMER.CREATE.A.mm', { stream_name: 'A', config: { name: 'mm', filter_subjects: ['a.1', 'a.*'] } }, '2.10'),
  api('CONSUMER.CREATE.A.mm', { stream_name: 'A', config: { name: 'mm', filter_subject: 'a.1', filter_subjects: ['a.2'] } }, '2.10'),
  // Actions.
  api('CONSUMER.CREATE.A.act', { stream_name: 'A', action: 'update', config: { name: 'act' } }, '2.10'),
  api('CONSUMER.CREATE.A.act', { stream_name: 'A', action: 'create', config: { name: 'act' } }, '2.10'),
  api('CONSUMER.CREATE.A.act', { stream_name: 'A', action: 'create', config: { name: 'act', description: 'other' } }, '2.10'),
  api('CONSUMER.CREATE.A.act', { stream_name: 'A', action: 'update', config: { name: 'act', description: 'other' } }, '2.10'),
  api('STREAM.DELETE.A'),
  api('CONSUMER.INFO.A.filtered'),
];

// The answer in a form that can be compared: status, headers, subject's shape, JSON without times.
function plain(message) {
  const out = {};
  const body = sc.decode(message.data);
  try {
    out.json = withoutTimes(JSON.parse(body));
    // With an error comes whatever the server's structure happens to hold.
    if (out.json.error) out.json = { type: out.json.type, error: out.json.error };
  } catch {
    out.body = body;
  }
  if (message.headers) {
    out.status = [message.headers.code, message.headers.description];
    out.headers = Object.fromEntries(message.headers.keys().filter((key) => key !== 'Nats-Time-Stamp').sort().map((key) => [key, message.headers.values(key)]));
  }
  if (message.reply) out.reply = message.reply.replace(/\.\d{15,}\./, '.TIME.');
  return out;
}

function withoutTimes(value) {
  if (Array.isArray(value)) return value.map(withoutTimes);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => !TIMES.has(key)).map(([key, inner]) => [key, withoutTimes(inner)]));
}

// Takes from `value` what `model` has: a newer server may say more.
function within(value, model) {
  if (Array.isArray(value) && Array.isArray(model)) return value.map((inner, i) => (i < model.length ? within(inner, model[i]) : inner));
  if (value === null || model === null || typeof value !== 'object' || typeof model !== 'object' || Array.isArray(value) !== Array.isArray(model)) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => key in model).map(([key, inner]) => [key, within(inner, model[key])]));
}

async function ask(connection, { subject, body, heads = {} }, timeout) {
  // What a consumer hands out comes under its own subject.
  const options = { timeout, noMux: true };
  if (Object.keys(heads).length > 0) {
    options.headers = headers();
    for (const [key, value] of Object.entries(heads)) options.headers.set(key, value);
  }
  try {
    return plain(await connection.request(subject, sc.encode(body), options));
  } catch (error) {
    // Without a connection everybody would be silent alike.
    assert.ok(['TIMEOUT', '503'].includes(error.code), `${error.code} after ${subject}`);
    return { error: error.code };
  }
}

for (const [what, requests] of Object.entries({ streams: STREAMS, consumers: CONSUMERS })) {
  test(`the API of ${what} answers as nats-server's`, { timeout: 120_000 }, async (t) => {
    const [candela, ...natsServers] = await startParity(t);
    const open = (server) => server.connect(t, { client: 'nats 2', ignoreClusterUpdates: true });
    const ours = await open(candela);
    const theirs = await Promise.all(natsServers.map(open));
    for (const [i, request] of requests.entries()) {
      const models = await Promise.all(natsServers.map((server, n) => (server.has(request.since) ? ask(theirs[n], request, 1000) : null)));
      const known = models.filter((model) => model !== null);
      // Whoever is silent where nats-server answers may only be slow.
      const answer = await ask(ours, request, known.every((model) => model.error === 'TIMEOUT') ? 200 : 2000);
      if (request.hasState === false) for (const each of [answer, ...known]) delete each.json?.state;
      const name = `${request.subject} ${request.body.slice(0, 100)}${Object.keys(request.heads ?? {}).length ? JSON.stringify(request.heads) : ''}`;
      const skip = known.length === 0 && 'no nats-server that has it';
      await t.test(`${i} ${name}`, { skip }, () => {
        // Servers differ among themselves: candela is like one of them.
        const like = known.find((model) => isDeepStrictEqual(within(answer, model), model)) ?? known.at(-1);
        assert.deepEqual(within(answer, like), like);
      });
    }
  });
}
