/* The bus by NATS's C client (libnats): publish and subscribe, queue groups, request and reply with headers,
 * nobody there, limits. Run by bus_libnats.test.mjs:  bus_libnats URL CREDS */

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

static void on_request(natsConnection *nc, natsSubscription *sub, natsMsg *message, void *closure)
{
    natsMsg *answer = NULL;
    const char *colour = NULL;
    (void)sub;
    (void)closure;
    check(natsMsgHeader_Get(message, "Colour", &colour), "reading a header");
    check(natsMsg_Create(&answer, natsMsg_GetReply(message), NULL, colour, (int)strlen(colour)), "making an answer");
    check(natsMsgHeader_Set(answer, "Answered", "yes"), "setting a header");
    check(natsConnection_PublishMsg(nc, answer), "answering");
    natsMsg_Destroy(answer);
    natsMsg_Destroy(message);
}

static natsConnection *open_connection(const char *url, const char *creds)
{
    natsConnection *nc = NULL;
    natsOptions *options = NULL;
    check(natsOptions_Create(&options), "options");
    check(natsOptions_SetURL(options, url), "url");
    check(natsOptions_SetUserCredentialsFromFiles(options, creds, NULL), "credentials");
    check(natsConnection_Connect(&nc, options), "connecting");
    natsOptions_Destroy(options);
    return nc;
}

static void test_wildcards(natsConnection *one, natsConnection *two)
{
    natsSubscription *sub = NULL;
    natsMsg *message = NULL;
    check(natsConnection_SubscribeSync(&sub, two, "c.*.x"), "subscribing");
    check(natsConnection_Flush(two), "flush");
    check(natsConnection_PublishString(one, "c.1.x", "first"), "publishing");
    check(natsConnection_PublishString(one, "c.1.y", "not for us"), "publishing");
    check(natsConnection_Flush(one), "flush");
    check(natsSubscription_NextMsg(&message, sub, 2000), "receiving");
    expect(strcmp(natsMsg_GetSubject(message), "c.1.x") == 0, "the subject");
    expect(strcmp(natsMsg_GetData(message), "first") == 0, "the payload");
    natsMsg_Destroy(message);
    expect(natsSubscription_NextMsg(&message, sub, 50) == NATS_TIMEOUT, "no other message");
    natsSubscription_Destroy(sub);
}

static void test_queue(natsConnection *one, natsConnection *two)
{
    natsSubscription *subs[2] = {NULL, NULL};
    natsMsg *message = NULL;
    int counts[2] = {0, 0};
    check(natsConnection_QueueSubscribeSync(&subs[0], one, "jobs", "q"), "subscribing");
    check(natsConnection_QueueSubscribeSync(&subs[1], two, "jobs", "q"), "subscribing");
    check(natsConnection_Flush(one), "flush");
    check(natsConnection_Flush(two), "flush");
    for (int i = 0; i < 200; i++) check(natsConnection_PublishString(one, "jobs", "x"), "publishing");
    check(natsConnection_Flush(one), "flush");
    check(natsConnection_Flush(two), "flush");
    for (int i = 0; i < 2; i++) {
        while (natsSubscription_NextMsg(&message, subs[i], 100) == NATS_OK) {
            counts[i]++;
            natsMsg_Destroy(message);
        }
        natsSubscription_Destroy(subs[i]);
    }
    expect(counts[0] + counts[1] == 200, "each message once");
    expect(counts[0] > 40 && counts[1] > 40, "both work");
}

static void test_requests(natsConnection *one, natsConnection *two)
{
    natsSubscription *sub = NULL;
    natsMsg *request = NULL;
    natsMsg *answer = NULL;
    const char *value = NULL;
    check(natsConnection_Subscribe(&sub, two, "paint", on_request, NULL), "subscribing");
    check(natsConnection_Flush(two), "flush");
    check(natsMsg_Create(&request, "paint", NULL, "x", 1), "making a request");
    check(natsMsgHeader_Set(request, "Colour", "green"), "setting a header");
    for (int i = 0; i < 100; i++) {
        check(natsConnection_RequestMsg(&answer, one, request, 2000), "asking");
        expect(strcmp(natsMsg_GetData(answer), "green") == 0, "the answer");
        check(natsMsgHeader_Get(answer, "Answered", &value), "the answer's header");
        natsMsg_Destroy(answer);
    }
    natsMsg_Destroy(request);
    natsSubscription_Destroy(sub);
    expect(natsConnection_RequestString(&answer, one, "nobody", "x", 2000) == NATS_NO_RESPONDERS, "no responders");
}

static void test_limits(natsConnection *one, natsConnection *two)
{
    natsSubscription *sub = NULL;
    natsMsg *message = NULL;
    const int64_t max = natsConnection_GetMaxPayload(one);
    char *big = calloc(1, (size_t)max);
    expect(max == 1048576, "the maximum payload");
    check(natsConnection_SubscribeSync(&sub, two, "big"), "subscribing");
    check(natsSubscription_AutoUnsubscribe(sub, 2), "unsubscribing after two");
    check(natsConnection_Flush(two), "flush");
    for (int i = 0; i < 3; i++) check(natsConnection_Publish(one, "big", big, (int)max), "publishing much");
    for (int i = 0; i < 2; i++) {
        check(natsSubscription_NextMsg(&message, sub, 5000), "receiving much");
        expect(natsMsg_GetDataLength(message) == max, "all of it");
        natsMsg_Destroy(message);
    }
    expect(natsSubscription_NextMsg(&message, sub, 50) != NATS_OK, "no third one");
    expect(natsConnection_Publish(one, "big", big, (int)max + 1) == NATS_MAX_PAYLOAD, "too much is refused");
    natsSubscription_Destroy(sub);
    free(big);
}

int main(int argc, char **argv)
{
    natsConnection *one = NULL;
    natsConnection *two = NULL;
    if (argc != 3) return 2;
    one = open_connection(argv[1], argv[2]);
    two = open_connection(argv[1], argv[2]);
    test_wildcards(one, two);
    test_queue(one, two);
    test_requests(one, two);
    test_limits(one, two);
    natsConnection_Destroy(one);
    natsConnection_Destroy(two);
    nats_Close();
    puts("all well");
    return 0;
}
