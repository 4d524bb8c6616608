/* Logging in with what a person knows, and in several steps, against a private sshd. */
#include "sshd_fixture.h"

#include <stdatomic.h>

#include "once.h"

/* Who is asked: gives these answers in turn, then none. */
static struct {
    const char *answers[8];
    atomic_int asked, at_once, most_at_once;
    struct {
        enum ssh_question_kind kind;
        char host[64], subject[160], text[300], detail[300];
        bool echo;
        int attempt;
    } last;
    pthread_mutex_t lock;
} person = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int
ask(void *arg, const struct ssh_question *q, const atomic_bool *cancel, char **answer,
    struct err *err)
{
    int n;

    if (!answer)
        return 0;
    n = atomic_fetch_add(&person.at_once, 1) + 1;
    pthread_mutex_lock(&person.lock);
    if (n > atomic_load(&person.most_at_once))
        atomic_store(&person.most_at_once, n);
    person.last.kind = q->kind;
    person.last.echo = q->echo;
    person.last.attempt = q->attempt;
    snprintf(person.last.host, sizeof person.last.host, "%s", q->host);
    snprintf(person.last.subject, sizeof person.last.subject, "%s", q->subject);
    snprintf(person.last.text, sizeof person.last.text, "%s", q->text);
    snprintf(person.last.detail, sizeof person.last.detail, "%s", q->detail);
    n = atomic_fetch_add(&person.asked, 1);
    pthread_mutex_unlock(&person.lock);
    atomic_fetch_sub(&person.at_once, 1);
    if (n >= 8 || !person.answers[n])
        return err_set(err, ERR_CANCELLED, "no answer");
    *answer = xstrdup(person.answers[n]);
    return 0;
}

static int
ask_nobody(void *arg, const struct ssh_question *q, const atomic_bool *cancel, char **answer,
    struct err *err)
{
    return err_set(err, ERR_CREDENTIALS, "there is nobody");
}

static void
will_answer(const char *first, const char *second, const char *third, const char *fourth)
{
    memset(person.answers, 0, sizeof person.answers);
    person.answers[0] = first;
    person.answers[1] = second;
    person.answers[2] = third;
    person.answers[3] = fourth;
    atomic_store(&person.asked, 0);
    atomic_store(&person.most_at_once, 0);
}

static const char *const keys_only[] = {"publickey", NULL},
                         *const words_only[] = {"password", NULL};

static struct ssh_options
asking_options(void)
{
    struct ssh_options o = usual_options();

    o.auth_order = keys_only;
    o.ask = ask;
    o.name = "web1";
    return o;
}

static int
each(void **state)
{
    know_host("host_ed25519.pub");
    once_wipe();
    will_answer(NULL, NULL, NULL, NULL);
    return 0;
}

static void
assert_connects(const struct ssh_options *o)
{
    struct err err;

    if (try_connect(o, NULL, &err))
        fail_msg("%s", err.msg);
}

static void
assert_fails(const struct ssh_options *o, int code, const char *text)
{
    struct err err;
    int rc = try_connect(o, NULL, &err);

    if (rc == 0)
        fail_msg("it should not have connected");
    assert_has(err.msg, text);
    assert_int_equal(rc, code);
    assert_null(strstr(err.msg, "not it"));
}

static void
test_passphrase(void **state)
{
    struct ssh_options o = asking_options();

    identity_list[0] = path("enc_ed25519");
    will_answer("not it", "not it either", "secret", NULL);
    assert_connects(&o);
    assert_int_equal(atomic_load(&person.asked), 3);
    assert_int_equal(person.last.kind, SSH_ASK_PASSPHRASE);
    assert_int_equal(person.last.attempt, 3);
    assert_false(person.last.echo);
    assert_string_equal(person.last.host, "web1");
    assert_string_equal(person.last.subject, path("enc_ed25519"));
    assert_has(person.last.text, "enc_ed25519' (for web1): ");
    assert_connects(&o); /* known from now on */
    o.ask = ask_nobody;
    assert_connects(&o);
    o.ask = ask;
    assert_int_equal(atomic_load(&person.asked), 3);
    /* Another one by now. */
    shell("ssh-keygen -q -p -P secret -N other -f %s >/dev/null", path("enc_ed25519"));
    will_answer("other", NULL, NULL, NULL);
    assert_connects(&o);
    assert_int_equal(atomic_load(&person.asked), 1);
    shell("ssh-keygen -q -p -P other -N secret -f %s >/dev/null", path("enc_ed25519"));
}

static void
test_no_passphrase(void **state)
{
    struct ssh_options o = asking_options();

    identity_list[0] = path("enc_ecdsa");
    will_answer("not it", "not it", "not it", "secret");
    assert_fails(&o, ERR_CREDENTIALS, "enc_ecdsa (wrong passphrase, three times)");
    will_answer(NULL, NULL, NULL, NULL);
    assert_fails(&o, ERR_CREDENTIALS, "enc_ecdsa (no passphrase was given)");
    o.ask = ask_nobody;
    assert_fails(&o, ERR_CREDENTIALS, "enc_ecdsa (there is nobody)");
    /* The wrong one that was given is followed by a question; the right one is not. */
    o.ask = ask;
    o.passphrase = "not it";
    will_answer("secret", NULL, NULL, NULL);
    assert_connects(&o);
    o.passphrase = "secret";
    once_wipe();
    will_answer(NULL, NULL, NULL, NULL);
    assert_connects(&o);
}

/* A key that the server does not want costs no question; one without its public half has to. */
static void
test_passphrase_of_strangers(void **state)
{
    struct ssh_options o = asking_options();

    shell("cd %s && rm -f stranger* && ssh-keygen -q -t ed25519 -N secret -f stranger", lab.dir);
    identity_list[0] = path("stranger");
    assert_fails(&o, ERR_AUTH, "stranger (refused)");
    assert_int_equal(atomic_load(&person.asked), 0);
    shell("cd %s && cp -p id_ecdsa bare && ssh-keygen -q -p -m PEM -P '' -N secret -f bare "
          ">/dev/null",
        lab.dir);
    identity_list[0] = path("bare");
    will_answer("not it", "secret", NULL, NULL);
    assert_connects(&o);
    assert_int_equal(atomic_load(&person.asked), 2);
}

static void *
connect_once(void *arg)
{
    struct err *err = xcalloc(1, sizeof *err);

    return try_connect(arg, NULL, err) ? err : (free(err), NULL);
}

enum { THREADS = 20 };

/* All at once; how many fail. */
static int
connect_all(struct ssh_options *o, size_t stride)
{
    pthread_t threads[THREADS];
    int failed = 0;

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, connect_once, &o[(size_t)i * stride]), 0);
    for (int i = 0; i < THREADS; i++) {
        struct err *err;

        pthread_join(threads[i], (void **)&err);
        if (err && !failed++)
            fprintf(stderr, "%s\n", err->msg);
        free(err);
    }
    return failed;
}

static void
test_passphrase_in_parallel(void **state)
{
    struct ssh_options o = asking_options();

    identity_list[0] = path("enc_ed25519");
    will_answer("not it", "secret", NULL, NULL);
    assert_int_equal(connect_all(&o, 0), 0);
    assert_int_equal(atomic_load(&person.asked), 2);
    assert_int_equal(atomic_load(&person.most_at_once), 1);
}

static void
test_passwords(void **state)
{
    struct ssh_options o = asking_options();

    o.auth_order = words_only;
    will_answer("not it", "not it", "not it", "not it");
    assert_fails(&o, ERR_AUTH, "tried password (asked for, and refused)");
    assert_int_equal(atomic_load(&person.asked), 3);
    assert_int_equal(person.last.kind, SSH_ASK_PASSWORD);
    assert_int_equal(person.last.attempt, 3);
    assert_has(person.last.text, "@web1's password: ");
    will_answer("not it", "not it", "not it", "not it");
    o.password_prompts = 1;
    o.password = "not it either";
    assert_fails(&o, ERR_AUTH, "password (refused), password (asked for, and refused)");
    assert_int_equal(atomic_load(&person.asked), 1);
    will_answer(NULL, NULL, NULL, NULL);
    o.password = NULL;
    assert_fails(&o, ERR_CREDENTIALS, "password (no answer was given)");
    o.ask = ask_nobody;
    assert_fails(&o, ERR_CREDENTIALS, "password (there is nobody)");
}

static void
test_limit_of_the_server(void **state)
{
    struct ssh_options o = asking_options();

    sshd_start("MaxAuthTries 3\n");
    know_host("host_ed25519.pub");
    o.auth_order = words_only;
    will_answer("not it", "not it", "not it", "not it");
    assert_fails(&o, ERR_AUTH, "ended the connection: Too many authentication failures");
    assert_int_equal(atomic_load(&person.asked), 2);
    sshd_start("");
}

/* A key that did for one server is shown to the next before that was asked what it takes. That spoils nothing
 * where it does not do. */
static void
test_first_key(void **state)
{
    struct ssh_options o = usual_options();
    const char *right = identity_list[0];

    shell("cd %s && for k in stray other; do ssh-keygen -q -t ed25519 -N '' -f $k || exit 1; done",
        lab.dir);
    assert_connects(&o);
    assert_connects(&o);
    shell("cd %s && cp authorized all && cat stray.pub >>authorized", lab.dir);
    identity_list[0] = path("stray");
    assert_connects(&o);
    shell("cd %s && mv all authorized", lab.dir);
    sshd_start("MaxAuthTries 3\n");
    know_host("host_ed25519.pub");
    identity_list[1] = right;
    assert_connects(&o);
    identity_list[1] = path("other");
    identity_list[2] = right;
    assert_connects(&o);
    identity_list[0] = right;
    identity_list[1] = NULL;
    assert_connects(&o);
    sshd_start("PubkeyAuthentication no\n");
    know_host("host_ed25519.pub");
    assert_fails(&o, ERR_CREDENTIALS, "there was no key or password to try; the server allows: ");
    sshd_start("");
}

static void
test_several_steps(void **state)
{
    struct ssh_options o = asking_options();

    sshd_start("AuthenticationMethods publickey,publickey\n");
    know_host("host_ed25519.pub");
    assert_fails(&o, ERR_AUTH, "id_ed25519 (");
    identity_list[1] = path("id_ecdsa");
    assert_connects(&o);
    sshd_start("AuthenticationMethods publickey,password\n");
    o.auth_order = NULL;
    know_host("host_ed25519.pub");
    will_answer("not it", NULL, NULL, NULL);
    assert_fails(&o, ERR_AUTH, "id_ed25519 (accepted, but that is not enough), password (");
    assert_int_equal(atomic_load(&person.asked), 2);
    o.ask = NULL;
    assert_fails(&o, ERR_CREDENTIALS, "not enough); the server allows: password");
    sshd_start("");
}

static void
test_host_key(void **state)
{
    struct ssh_options o = asking_options();
    struct ssh_report report;
    struct err err;

    o.strict = SSH_STRICT_ASK;
    write_file(path("known_hosts"), "%s", "");
    will_answer("no", NULL, NULL, NULL);
    assert_int_equal(try_connect(&o, &report, &err), ERR_HOSTKEY);
    assert_has(err.msg, "is not known");
    assert_has(err.msg, "was not accepted");
    assert_int_equal(person.last.kind, SSH_ASK_HOSTKEY);
    assert_true(person.last.echo);
    assert_has(person.last.detail, "The authenticity of host 'web1 (127.0.0.1 port");
    assert_has(person.last.detail, "\nED25519 key fingerprint is SHA256:");
    assert_has(person.last.detail, report.fingerprint);
    assert_has(person.last.text, "(yes/no/[fingerprint])? ");
    will_answer("maybe", "", "perhaps", "yes");
    assert_fails(&o, ERR_HOSTKEY, "was not accepted");
    assert_int_equal(atomic_load(&person.asked), 3);
    o.ask = ask_nobody;
    assert_fails(&o, ERR_HOSTKEY, ", and there is nobody. If that is its fingerprint: echo '");
    shell("test ! -s %s", path("known_hosts"));
    o.ask = ask;
    will_answer("x", report.fingerprint, NULL, NULL);
    assert_connects(&o);
    o.strict = SSH_STRICT_YES;
    assert_connects(&o);
    once_wipe();
    o.strict = SSH_STRICT_ASK;
    write_file(path("known_hosts"), "%s", "");
    will_answer("YES\n", NULL, NULL, NULL);
    assert_int_equal(connect_all(&o, 0), 0);
    assert_int_equal(atomic_load(&person.asked), 1);
    shell("test $(wc -l < %s) = 1", path("known_hosts"));
}

/* Many new hosts, and each of them several times, into one file. */
static void
test_accept_new_hosts(void **state)
{
    struct ssh_options o[THREADS];
    char names[THREADS][16];

    write_file(path("known_hosts"), "%s", "");
    for (int i = 0; i < THREADS; i++) {
        snprintf(names[i], sizeof names[i], "new%d", i / 2);
        o[i] = usual_options();
        o[i].host_key_alias = names[i];
        o[i].strict = SSH_STRICT_ACCEPT_NEW;
    }
    assert_int_equal(connect_all(o, 1), 0);
    shell("test $(wc -l < %s) = 10 && test $(cut -d' ' -f1 %s | sort -u | wc -l) = 10",
        path("known_hosts"), path("known_hosts"));
    for (int i = 0; i < THREADS; i++)
        o[i].strict = SSH_STRICT_YES;
    assert_int_equal(connect_all(o, 1), 0);
}

/* The command in an error can be given to a shell, whatever the file is called. */
static void
test_commands_are_quoted(void **state)
{
    struct ssh_options o = usual_options();
    const char *const files[] = {path("it's; a file"), NULL};
    struct err err;

    o.known_hosts = files;
    assert_int_equal(try_connect(&o, NULL, &err), ERR_HOSTKEY);
    shell("%s", strstr(err.msg, "echo '"));
    assert_connects(&o);
    shell("cd %s && sed -i 's/ AAAA[^ ]*/ AAAAC3NzaC1lZDI1NTE5AAAA/' *file", lab.dir);
    assert_int_equal(try_connect(&o, NULL, &err), ERR_HOSTKEY_CHANGED);
    assert_has(err.msg, "line 1 has another one");
    shell("%s >/dev/null 2>&1", strstr(err.msg, "ssh-keygen"));
    assert_int_equal(try_connect(&o, NULL, &err), ERR_HOSTKEY);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_passphrase, each),
        cmocka_unit_test_setup(test_no_passphrase, each),
        cmocka_unit_test_setup(test_passphrase_of_strangers, each),
        cmocka_unit_test_setup(test_passphrase_in_parallel, each),
        cmocka_unit_test_setup(test_passwords, each),
        cmocka_unit_test_setup(test_limit_of_the_server, each),
        cmocka_unit_test_setup(test_first_key, each),
        cmocka_unit_test_setup(test_several_steps, each),
        cmocka_unit_test_setup(test_host_key, each),
        cmocka_unit_test_setup(test_accept_new_hosts, each),
        cmocka_unit_test_setup(test_commands_are_quoted, each),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
