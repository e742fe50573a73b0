/* Durable streams and key-value buckets by NATS's C client (libnats). Run by bus_libnats.test.mjs against candela and
 * nats-server:  bus_libnats_streams URL CREDS */

#include <nats/nats.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(natsStatus status, const char *what)
{
    if (status == NATS_OK) return;
    fprintf(stderr, "%s: %s\n", what, natsStatus_GetText(status));
    nats_PrintLastErrorStack(stderr);
    exit(1);
}

static void expect(bool condition, const char *what)
{
    if (condition) return;
    fprintf(stderr, "not so: %s\n", what);
    exit(1);
}

static uint64_t sequence_of(natsMsg *message)
{
    jsMsgMetaData *meta = NULL;
    uint64_t sequence = 0;
    check(natsMsg_GetMetaData(&meta, message), "metadata");
    sequence = meta->Sequence.Stream;
    jsMsgMetaData_Destroy(meta);
    return sequence;
}

static void test_publishing(jsCtx *js)
{
    jsStreamConfig config;
    jsStreamInfo *info = NULL;
    jsPubAck *ack = NULL;
    jsPubOptions options;
    jsErrCode code = 0;
    const char *subjects[] = {"cs.*"};
    jsStreamConfig_Init(&config);
    config.Name = "C";
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    check(js_AddStream(NULL, js, &config, NULL, &code), "a stream");
    for (int i = 0; i < 100; i++) check(js_PublishAsync(js, i % 2 == 0 ? "cs.0" : "cs.1", "x", 1, NULL), "publishing");
    check(js_PublishAsyncComplete(js, NULL), "all acknowledged");
    jsPubOptions_Init(&options);
    options.MsgId = "one";
    for (int i = 0; i < 2; i++) {
        check(js_Publish(&ack, js, "cs.2", "y", 1, &options, &code), "publishing");
        expect(ack->Sequence == 101 && ack->Duplicate == (i == 1), "the second is a duplicate");
        jsPubAck_Destroy(ack);
    }
    jsPubOptions_Init(&options);
    options.ExpectLastSeq = 7;
    expect(js_Publish(&ack, js, "cs.2", "y", 1, &options, &code) != NATS_OK && code == JSStreamWrongLastSequenceErr, "a wrong last sequence");
    expect(js_GetStreamInfo(&info, js, "NONE", NULL, &code) == NATS_NOT_FOUND && code == JSStreamNotFoundErr, "no such stream");
    check(js_GetStreamInfo(&info, js, "C", NULL, &code), "info");
    expect(info->State.Msgs == 101 && info->State.LastSeq == 101, "its state");
    jsStreamInfo_Destroy(info);
}

static void test_pulling(jsCtx *js)
{
    natsSubscription *sub = NULL;
    natsMsgList list;
    jsConsumerInfo *info = NULL;
    jsErrCode code = 0;
    check(js_PullSubscribe(&sub, js, "cs.0", "puller", NULL, NULL, &code), "a pull subscription");
    check(natsSubscription_Fetch(&list, sub, 20, 5000, &code), "fetching");
    expect(list.Count == 20 && sequence_of(list.Msgs[1]) == 3, "twenty, in order");
    check(natsMsg_AckSync(list.Msgs[0], NULL, &code), "acknowledging");
    check(natsMsg_NakWithDelay(list.Msgs[1], 20, NULL), "later");
    check(natsMsg_Term(list.Msgs[2], NULL), "never");
    for (int i = 3; i < 20; i++) check(natsMsg_Ack(list.Msgs[i], NULL), "acknowledging");
    natsMsgList_Destroy(&list);
    for (int got = 0; got < 31; ) {
        check(natsSubscription_Fetch(&list, sub, 31 - got, 5000, &code), "fetching");
        for (int i = 0; i < list.Count; i++) {
            check(natsMsg_InProgress(list.Msgs[i], NULL), "in progress");
            check(natsMsg_AckSync(list.Msgs[i], NULL, &code), "acknowledging");
        }
        got += list.Count;
        natsMsgList_Destroy(&list);
    }
    expect(natsSubscription_Fetch(&list, sub, 1, 50, &code) == NATS_TIMEOUT, "nothing more");
    check(js_GetConsumerInfo(&info, js, "C", "puller", NULL, &code), "info");
    expect(info->NumAckPending == 0 && info->NumPending == 0, "all is done");
    jsConsumerInfo_Destroy(info);
    natsSubscription_Destroy(sub);
}

static void test_pushing(jsCtx *js)
{
    natsSubscription *sub = NULL;
    natsMsg *message = NULL;
    jsSubOptions options;
    jsErrCode code = 0;
    jsSubOptions_Init(&options);
    options.Config.DeliverPolicy = js_DeliverLast;
    options.ManualAck = true;
    check(js_SubscribeSync(&sub, js, "cs.*", NULL, &options, &code), "a push subscription");
    check(natsSubscription_NextMsg(&message, sub, 5000), "receiving");
    expect(sequence_of(message) == 101, "the last one");
    check(natsMsg_AckSync(message, NULL, &code), "acknowledging");
    natsMsg_Destroy(message);
    natsSubscription_Unsubscribe(sub);
    natsSubscription_Destroy(sub);
    jsSubOptions_Init(&options);
    options.Ordered = true;
    check(js_SubscribeSync(&sub, js, "cs.*", NULL, &options, &code), "an ordered subscription");
    for (uint64_t i = 1; i <= 101; i++) {
        check(natsSubscription_NextMsg(&message, sub, 5000), "receiving");
        expect(sequence_of(message) == i, "in order");
        natsMsg_Destroy(message);
    }
    natsSubscription_Destroy(sub);
    check(js_GetLastMsg(&message, js, "C", "cs.1", NULL, &code), "the last message");
    expect(natsMsg_GetSequence(message) == 100, "its sequence");
    natsMsg_Destroy(message);
    check(js_PurgeStream(js, "C", NULL, &code), "purging");
    check(js_DeleteStream(js, "C", NULL, &code), "deleting");
}

static void test_bucket(jsCtx *js)
{
    kvConfig config;
    kvStore *kv = NULL;
    kvEntry *entry = NULL;
    kvWatcher *watcher = NULL;
    kvKeysList keys;
    kvEntryList entries;
    uint64_t first = 0, second = 0;
    kvConfig_Init(&config);
    config.Bucket = "CKV";
    config.History = 5;
    check(js_CreateKeyValue(&kv, js, &config), "a bucket");
    expect(kvStore_Get(&entry, kv, "a") == NATS_NOT_FOUND, "nothing there");
    check(kvStore_CreateString(&first, kv, "a", "1"), "creating");
    expect(kvStore_CreateString(NULL, kv, "a", "2") != NATS_OK, "it is there");
    check(kvStore_UpdateString(&second, kv, "a", "2", first), "updating");
    expect(kvStore_UpdateString(NULL, kv, "a", "3", first) != NATS_OK, "an older revision");
    check(kvStore_GetRevision(&entry, kv, "a", first), "an older revision");
    expect(strcmp(kvEntry_ValueString(entry), "1") == 0, "its value");
    kvEntry_Destroy(entry);
    check(kvStore_WatchAll(&watcher, kv, NULL), "watching");
    check(kvWatcher_Next(&entry, watcher, 5000), "what is there");
    expect(kvEntry_Revision(entry) == second, "its revision");
    kvEntry_Destroy(entry);
    check(kvWatcher_Next(&entry, watcher, 5000), "the end of what is there");
    expect(entry == NULL, "the mark of it");
    check(kvStore_PutString(NULL, kv, "b", "x"), "putting");
    check(kvStore_Delete(kv, "a"), "deleting");
    check(kvStore_Purge(kv, "b", NULL), "purging");
    const kvOperation wanted[] = {kvOp_Put, kvOp_Delete, kvOp_Purge};
    for (int i = 0; i < 3; i++) {
        check(kvWatcher_Next(&entry, watcher, 5000), "an update");
        expect(kvEntry_Operation(entry) == wanted[i], "its operation");
        kvEntry_Destroy(entry);
    }
    kvWatcher_Destroy(watcher);
    check(kvStore_History(&entries, kv, "a", NULL), "history");
    expect(entries.Count == 3, "three entries");
    kvEntryList_Destroy(&entries);
    check(kvStore_PutString(NULL, kv, "c", "y"), "putting");
    check(kvStore_Keys(&keys, kv, NULL), "keys");
    expect(keys.Count == 1 && strcmp(keys.Keys[0], "c") == 0, "one key");
    kvKeysList_Destroy(&keys);
    kvStore_Destroy(kv);
    check(js_DeleteKeyValue(js, "CKV"), "deleting the bucket");
}

int main(int argc, char **argv)
{
    natsConnection *nc = NULL;
    natsOptions *options = NULL;
    jsCtx *js = NULL;
    jsOptions js_options;
    if (argc != 3) return 2;
    check(natsOptions_Create(&options), "options");
    check(natsOptions_SetURL(options, argv[1]), "url");
    check(natsOptions_SetUserCredentialsFromFiles(options, argv[2], NULL), "credentials");
    check(natsConnection_Connect(&nc, options), "connecting");
    natsOptions_Destroy(options);
    jsOptions_Init(&js_options);
    js_options.Wait = 5000;
    check(natsConnection_JetStream(&js, nc, &js_options), "jetstream");
    test_publishing(js);
    test_pulling(js);
    test_pushing(js);
    test_bucket(js);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
    nats_Close();
    puts("all well");
    return 0;
}
