/* A connection that a keeper's keys and known hosts are for, against a private sshd: the same as one of its own. */
#include "sshd_fixture.h"

#include "internal.h"
#include "once.h"
#include "seal.h"

/* What the keeper is asked by the one that connects. */
static struct {
    int signatures;
    bool spoil; /* asks for a signature of something else */
} other;

static const char *answer_of_people;

static int
ask_people(void *arg, const struct ssh_question *q, const atomic_bool *cancel, char **answer,
    struct err *err)
{
    if (!answer_of_people)
        return err_set(err, ERR_CREDENTIALS, "there is nobody");
    if (answer)
        *answer = xstrdup(answer_of_people);
    return 0;
}

static int
ask_keeper(void *arg, const struct ssh_question *q, const atomic_bool *cancel, char **answer,
    struct err *err)
{
    struct ssh_question spoilt = *q;

    other.signatures += q->kind == SSH_ASK_SIGN;
    assert_int_equal(q->kept, 1);
    if (other.spoil && q->kind == SSH_ASK_SIGN)
        spoilt.text = "aGVsbG8gd29ybGQ=";
    return ssh_keep(arg, &spoilt, cancel, answer, err);
}

static void
free_list(char **list)
{
    for (char **p = list; *p; p++)
        free(*p);
    free(list);
}

/* As try_connect, by way of one that has nothing but the keeper's answers. */
static int
try_kept(struct ssh_options *o, struct ssh_report *report, struct err *err)
{
    char **offers = ssh_offers(o, NULL), *algorithms = ssh_host_key_algorithms(o);
    struct ssh_options there = {.name = o->name,
        .host = o->host,
        .port = o->port,
        .user = o->user,
        .auth_order = o->auth_order,
        .host_key_algorithms = algorithms,
        .command = o->command,
        .connect_ms = o->connect_ms,
        .handshake_ms = o->handshake_ms,
        .kept = 1,
        .offers = (const char *const *)offers,
        .ask = ask_keeper,
        .ask_arg = o};
    int rc;

    o->kept = 1;
    if (!o->ask)
        o->ask = ask_people;
    other.signatures = 0;
    rc = try_connect(&there, report, err);
    o->kept = 0;
    free_list(offers);
    free(algorithms);
    return rc;
}

static int
each(void **state)
{
    know_host("host_ed25519.pub");
    once_wipe();
    answer_of_people = NULL;
    other.spoil = false;
    return 0;
}

static void
assert_connects(struct ssh_options *o)
{
    struct ssh_report report;
    struct err err;

    if (try_kept(o, &report, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(other.signatures, 1);
}

/* Fails as the keeper's own connection does: with the same code and the same words. */
static void
assert_fails_alike(struct ssh_options *o, int code, const char *text)
{
    struct err direct, kept;

    o->ask = ask_people;
    assert_int_equal(try_connect(o, NULL, &direct), code);
    assert_int_equal(try_kept(o, NULL, &kept), code);
    assert_has(direct.msg, text);
    assert_string_equal(kept.msg, direct.msg);
}

static void
test_kinds_of_keys(void **state)
{
    static const char *const names[] = {
        "id_ed25519", "id_ecdsa", "id_rsa", "id_p384", "id_p521", "id_pem", "id_pkcs8"};
    struct ssh_options o = usual_options();

    shell("cd %s && ssh-keygen -q -t ecdsa -b 384 -N '' -f id_p384 && "
          "ssh-keygen -q -t ecdsa -b 521 -N '' -f id_p521 && "
          "ssh-keygen -q -t rsa -m PEM -N '' -f id_pem && "
          "ssh-keygen -q -t ecdsa -m PKCS8 -N '' -f id_pkcs8 && "
          "cat id_p384.pub id_p521.pub id_pem.pub id_pkcs8.pub >>authorized",
        lab.dir);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        identity_list[0] = path(names[i]);
        assert_connects(&o);
    }
}

static void
test_encrypted_keys(void **state)
{
    static const char *const names[] = {
        "enc_ed25519", "enc_ecdsa", "enc_rsa", "enc_cbc", "enc_pem"};
    struct ssh_options o = usual_options();

    shell("cd %s && ssh-keygen -q -t ed25519 -N secret -a 20 -Z aes256-cbc -f enc_cbc && "
          "ssh-keygen -q -t rsa -m PEM -N secret -f enc_pem && "
          "cat enc_cbc.pub enc_pem.pub >>authorized",
        lab.dir);
    o.passphrase = "secret";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        identity_list[0] = path(names[i]);
        assert_connects(&o);
    }
}

static void
test_passphrases(void **state)
{
    static const char *const keys_only[] = {"publickey", NULL};
    struct ssh_options o = usual_options();
    struct err err;

    o.auth_order = keys_only;
    identity_list[0] = path("enc_ed25519");
    assert_int_equal(try_kept(&o, NULL, &err), ERR_CREDENTIALS);
    assert_has(err.msg, "enc_ed25519 (there is nobody)");
    answer_of_people = "not it";
    assert_int_equal(try_kept(&o, NULL, &err), ERR_CREDENTIALS);
    assert_has(err.msg, "enc_ed25519 (wrong passphrase, three times)");
    o.passphrase = "not it";
    assert_int_equal(try_kept(&o, NULL, &err), ERR_CREDENTIALS);
    assert_has(err.msg, "enc_ed25519 (wrong passphrase)");
    o.passphrase = NULL;
    answer_of_people = "secret";
    assert_connects(&o);
    answer_of_people = NULL;
    assert_connects(&o); /* it is known by now */
}

static void
test_agent(void **state)
{
    struct ssh_options o = usual_options();
    char socket[128];

    snprintf(socket, sizeof socket, "%s", path("agent"));
    shell("cd %s && ssh-agent -a agent -t 60 >agent.env && . ./agent.env >/dev/null && "
          "ssh-add -q id_rsa id_ed25519",
        lab.dir);
    identity_list[0] = NULL;
    o.agent_socket = socket;
    assert_connects(&o);
    identity_list[0] = path("id_ed25519.pub");
    o.identities_only = true;
    assert_connects(&o);
    shell("cd %s && . ./agent.env >/dev/null && ssh-agent -k >/dev/null", lab.dir);
    assert_fails_alike(&o, ERR_CREDENTIALS, "agent");
}

static void
test_refusals(void **state)
{
    struct ssh_options o = usual_options();

    shell("cd %s && ssh-keygen -q -t ed25519 -N '' -f stranger", lab.dir);
    identity_list[0] = path("stranger");
    assert_fails_alike(&o, ERR_AUTH, "stranger (refused)");
    identity_list[1] = path("no_such_file");
    identity_list[2] = path("authorized");
    assert_fails_alike(&o, ERR_AUTH, "a public key");
    identity_list[0] = NULL;
    assert_fails_alike(&o, ERR_CREDENTIALS, "tried keyboard-interactive (there is nobody)");
}

static void
test_host_keys(void **state)
{
    struct ssh_options o = usual_options();
    struct ssh_report report;
    struct err err;

    assert_int_equal(try_kept(&o, &report, &err), 0);
    assert_has(report.trusted, "known_hosts:2");
    know_host("host_rsa.pub");
    assert_fails_alike(&o, ERR_HOSTKEY, "is known by another key (ssh-rsa");
    know_host("id_ed25519.pub");
    assert_fails_alike(&o, ERR_HOSTKEY_CHANGED, "has changed");
    shell("cd %s && { printf '@revoked * '; cat host_ed25519.pub; } >known_hosts", lab.dir);
    assert_fails_alike(&o, ERR_HOSTKEY_REVOKED, "is revoked");
    write_file(path("known_hosts"), "# nobody\n");
    o.strict = SSH_STRICT_YES;
    assert_fails_alike(&o, ERR_HOSTKEY, "is not known");
    o.strict = SSH_STRICT_ACCEPT_NEW;
    assert_int_equal(try_kept(&o, &report, &err), 0);
    o.strict = SSH_STRICT_YES;
    assert_int_equal(try_kept(&o, &report, &err), 0);
    shell("ssh-keygen -q -H -f %s >/dev/null 2>&1", path("known_hosts"));
    assert_int_equal(try_kept(&o, &report, &err), 0);
}

static void
test_new_host_is_asked_about(void **state)
{
    struct ssh_options o = usual_options();
    struct err err;

    write_file(path("known_hosts"), "# nobody\n");
    o.strict = SSH_STRICT_ASK;
    assert_int_equal(try_kept(&o, NULL, &err), ERR_HOSTKEY);
    assert_has(err.msg, "there is nobody");
    answer_of_people = "no";
    assert_int_equal(try_kept(&o, NULL, &err), ERR_HOSTKEY);
    assert_has(err.msg, "was not accepted");
    answer_of_people = "yes";
    assert_int_equal(try_kept(&o, NULL, &err), 0);
    answer_of_people = NULL;
    assert_int_equal(try_kept(&o, NULL, &err), 0);
}

/* ---- what is not signed ---- */

static struct buf
login(const char *user, const char *service, const struct keyfile *k)
{
    struct buf b = {0};

    wire_put_string(&b, "0123456789abcdef0123456789abcdef", 32);
    buf_append(&b, "\x32", 1);
    wire_put_string(&b, user, strlen(user));
    wire_put_string(&b, service, strlen(service));
    wire_put_string(&b, "publickey", 9);
    buf_append(&b, "\x01", 1);
    wire_put_string(&b, "ssh-ed25519", 11);
    wire_put_string(&b, k->blob, k->blob_len);
    return b;
}

/* Takes data. */
static int
sign(struct ssh_options *o, const struct keyfile *k, struct buf *data)
{
    char *text = base64_encode(buf_head(data), buf_len(data), true);
    char *key = base64_encode(k->blob, k->blob_len, true), *answer = NULL;
    struct ssh_question q = {.kind = SSH_ASK_SIGN, .subject = key, .text = text, .detail = ""};
    struct err err;
    int rc = ssh_keep(o, &q, NULL, &answer, &err);

    free(text);
    free(key);
    secret_free(answer);
    buf_fini(data);
    return rc;
}

static void
test_only_logins_are_signed(void **state)
{
    struct ssh_options o = usual_options();
    struct keyfile ours, others;
    struct buf data;

    keyfile_load(&ours, path("id_ed25519"));
    keyfile_load(&others, path("host_ed25519"));
    data = login(o.user, "ssh-connection", &ours);
    assert_int_equal(sign(&o, &ours, &data), 0);
    data = login("somebody", "ssh-connection", &ours);
    assert_int_equal(sign(&o, &ours, &data), ERR_DENIED);
    data = login(o.user, "ssh-userauth", &ours);
    assert_int_equal(sign(&o, &ours, &data), ERR_DENIED);
    data = login(o.user, "ssh-connection", &others); /* not the one that is to sign */
    assert_int_equal(sign(&o, &ours, &data), ERR_DENIED);
    data = login(o.user, "ssh-connection", &others); /* not one that was offered */
    assert_int_equal(sign(&o, &others, &data), ERR_DENIED);
    data = login(o.user, "ssh-connection", &ours);
    buf_append(&data, "more", 4);
    assert_int_equal(sign(&o, &ours, &data), ERR_DENIED);
    data = login(o.user, "ssh-connection", &ours);
    data.end -= 3;
    assert_int_equal(sign(&o, &ours, &data), ERR_DENIED);
    data = (struct buf){0};
    buf_append(&data, "-----BEGIN SSH SIGNATURE-----", 29);
    assert_int_equal(sign(&o, &ours, &data), ERR_DENIED);
    keyfile_fini(&ours);
    keyfile_fini(&others);
}

static void
test_refused_signature_ends_the_login(void **state)
{
    struct ssh_options o = usual_options();
    struct err err;

    other.spoil = true;
    assert_int_equal(try_kept(&o, NULL, &err), ERR_CREDENTIALS);
    assert_has(err.msg, "what was to be signed is no login of user");
}

static void
test_secrets_are_sealed(void **state)
{
    struct ssh_options o = usual_options();
    struct ssh_question q = {
        .kind = SSH_ASK_PASSPHRASE, .subject = "", .text = "Give it to me: ", .detail = ""};
    char *answer = NULL, *public, *other_public, *text;
    struct evp_pkey_st *key = seal_key_create(&public), *other_key = seal_key_create(&other_public);
    struct err err;

    o.ask = ask_people;
    answer_of_people = "yes";
    assert_int_equal(ssh_keep(&o, &q, NULL, &answer, &err), ERR_DENIED);
    q.kind = SSH_ASK_HOSTKEY;
    assert_int_equal(ssh_keep(&o, &q, NULL, &answer, &err), ERR_DENIED);
    q.kind = SSH_ASK_PASSWORD;
    assert_int_equal(ssh_keep(&o, &q, NULL, &answer, &err), ERR_CREDENTIALS); /* none was given */
    o.password = "sesame";
    assert_int_equal(ssh_keep(&o, &q, NULL, &answer, &err), ERR_DENIED); /* for whom? */
    q.seal = public;
    assert_int_equal(ssh_keep(&o, &q, NULL, &answer, &err), 0);
    text = seal_open(key, answer);
    assert_string_equal(text, "sesame");
    secret_free(text);
    assert_null(seal_open(other_key, answer));
    answer[60] = answer[60] == 'A' ? 'B' : 'A';
    assert_null(seal_open(key, answer));
    free(answer);
    assert_null(seal("", "sesame"));
    seal_key_free(key);
    seal_key_free(other_key);
    free(public);
    free(other_public);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_kinds_of_keys, each),
        cmocka_unit_test_setup(test_encrypted_keys, each),
        cmocka_unit_test_setup(test_passphrases, each),
        cmocka_unit_test_setup(test_agent, each),
        cmocka_unit_test_setup(test_refusals, each),
        cmocka_unit_test_setup(test_host_keys, each),
        cmocka_unit_test_setup(test_new_host_is_asked_about, each),
        cmocka_unit_test_setup(test_only_logins_are_signed, each),
        cmocka_unit_test_setup(test_refused_signature_ends_the_login, each),
        cmocka_unit_test_setup(test_secrets_are_sealed, each),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
