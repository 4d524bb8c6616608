/* ssh_connect against a private sshd: host keys, logging in, and everything that can go wrong. */
#include "sshd_fixture.h"

#include <netinet/in.h>

static char host_type_key[1024]; /* "ssh-ed25519 AAAA..." of the server */

static int
connect_error(const struct ssh_options *o, struct err *err)
{
    struct ssh_report report;
    int rc = try_connect(o, &report, err);

    if (rc == 0)
        fail_msg("it should not have connected");
    return rc;
}

static void
assert_connects(const struct ssh_options *o, struct ssh_report *report)
{
    struct err err;

    if (try_connect(o, report, &err))
        fail_msg("%s", err.msg);
}

static int
each(void **state)
{
    snprintf(host_type_key, sizeof host_type_key, "%s", first_line(path("host_ed25519.pub")));
    *strrchr(host_type_key, ' ') = '\0'; /* the comment */
    know_host("host_ed25519.pub");
    return 0;
}

static void
test_report(void **state)
{
    struct ssh_options o = usual_options();
    struct ssh_report report;

    assert_connects(&o, &report);
    assert_string_equal(report.address, "127.0.0.1");
    assert_has(report.auth, "publickey ");
    assert_has(report.auth, "id_ed25519");
    shell("ssh-keygen -lf %s | grep -qF ' %s '", path("host_ed25519.pub"), report.fingerprint);
    assert_has(report.banner, "SSH-2.0-OpenSSH");
    assert_true(report.kex[0] && report.cipher[0] && report.mac[0]);
    assert_string_equal(report.host_key, "ssh-ed25519");
    assert_has(report.trusted, "known_hosts:2");
    assert_string_equal(report.tried, "");
    assert_true(report.kex_us > 0 && report.auth_us > 0 && report.exec_us > 0);
}

static void
test_key_types(void **state)
{
    static const char *const names[] = {"id_ecdsa", "enc_ed25519", "enc_ecdsa"};
    struct ssh_options o = usual_options();
    struct ssh_report report;

    o.passphrase = "secret";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char moved[160];

        identity_list[0] = path(names[i]);
        assert_connects(&o, &report);
        /* Without its public half beside it. */
        snprintf(moved, sizeof moved, "%s.pub", path(names[i]));
        assert_int_equal(rename(moved, path("aside")), 0);
        assert_connects(&o, &report);
        assert_int_equal(rename(path("aside"), moved), 0);
    }
}

static void
test_pem_key(void **state)
{
    struct ssh_options o = usual_options();
    struct ssh_report report;

    o.passphrase = "secret";
    shell("cp -p %s %s && ssh-keygen -q -p -m PEM -P '' -N secret -f %s", path("id_ecdsa"),
        path("pem"), path("pem"));
    identity_list[0] = path("pem");
    assert_connects(&o, &report);
}

static void
test_key_failures(void **state)
{
    struct ssh_options o = usual_options();
    struct err err;

    identity_list[0] = path("enc_ed25519");
    assert_int_equal(connect_error(&o, &err), ERR_CREDENTIALS);
    assert_has(err.msg, "enc_ed25519 (passphrase needed)");
    assert_has(err.msg, "the server allows: publickey");
    o.passphrase = "not it";
    assert_int_equal(connect_error(&o, &err), ERR_CREDENTIALS);
    assert_has(err.msg, "enc_ed25519 (wrong passphrase)");
    assert_null(strstr(err.msg, "not it"));

    shell("cd %s && ssh-keygen -q -t ed25519 -N '' -f stranger && cp -p id_ecdsa open && "
          "chmod 644 open && echo nonsense > junk && chmod 600 junk",
        lab.dir);
    identity_list[0] = xstrdup(path("stranger"));
    identity_list[1] = xstrdup(path("open"));
    identity_list[2] = xstrdup(path("junk"));
    identity_list[3] = path("missing");
    assert_int_equal(connect_error(&o, &err), ERR_AUTH);
    assert_has(err.msg, lab.user);
    assert_has(err.msg, "stranger (refused)");
    assert_has(err.msg, "permissions");
    assert_has(err.msg, "junk (not a private key)");
    for (int i = 0; i < 3; i++)
        free((char *)identity_list[i]);
    identity_list[0] = NULL;
    assert_int_equal(connect_error(&o, &err), ERR_CREDENTIALS);
    assert_has(err.msg, "no key or password to try");
}

static void
test_rsa(void **state)
{
    struct ssh_options o = usual_options();
    struct ssh_report report;
    struct err err;

    identity_list[0] = path("id_rsa");
    if (strcmp(ssh_library_version(), "1.11") >= 0) {
        assert_connects(&o, &report);
        return;
    }
    assert_int_equal(try_connect(&o, &report, &err), ERR_AUTH);
    assert_has(err.msg, "SHA-1");
    assert_true(report.openssh_could);
}

static void
test_agent(void **state)
{
    static const char *const usual_key[] = {NULL};
    struct ssh_options o = usual_options();
    struct ssh_report report;
    struct err err;
    char socket[128];

    snprintf(socket, sizeof socket, "%s", path("agent"));
    shell("cd %s && ssh-agent -a %s > agent.env && SSH_AUTH_SOCK=%s ssh-add -q id_ecdsa stranger",
        lab.dir, socket, socket);
    o.agent_socket = socket;
    o.identities = usual_key;
    assert_connects(&o, &report);
    assert_string_equal(report.auth, "agent key key ecdsa");
    /* Named by its public half; but not if only others are named. */
    o.identities = identity_list;
    o.identities_only = true;
    identity_list[0] = path("id_ecdsa.pub");
    assert_connects(&o, &report);
    assert_has(report.auth, "agent key");
    identity_list[0] = path("id_rsa.pub");
    assert_int_equal(connect_error(&o, &err), ERR_CREDENTIALS);
    assert_null(strstr(err.msg, "agent key"));
    shell("kill $(sed -n 's/.*SSH_AGENT_PID=\\([0-9]*\\);.*/\\1/p' %s)", path("agent.env"));
    unlink(socket);
    assert_int_equal(connect_error(&o, &err), ERR_CREDENTIALS);
    assert_has(err.msg, ": No such file");
}

static void
test_password_refused(void **state)
{
    static const char *const order[] = {"password", "gssapi-with-mic", NULL};
    struct ssh_options o = usual_options();
    struct err err;

    o.auth_order = order;
    o.password = "hunter2 is not it";
    assert_int_equal(connect_error(&o, &err), ERR_AUTH);
    assert_has(err.msg, "tried password (refused)");
    assert_null(strstr(err.msg, "hunter2"));
}

static void
test_unknown_host(void **state)
{
    struct ssh_options o = usual_options();
    struct ssh_report report;
    struct err err;

    write_file(path("known_hosts"), "other.example %s\n", host_type_key);
    assert_int_equal(try_connect(&o, &report, &err), ERR_HOSTKEY);
    assert_has(err.msg, report.fingerprint);
    assert_has(err.msg, "is not known");
    /* The command that the error gives does what it says. */
    shell("%s", strstr(err.msg, "echo '"));
    assert_connects(&o, &report);
    /* OpenSSH takes a line without the port as well. */
    write_file(path("known_hosts"), "127.0.0.1 %s\n", host_type_key);
    assert_connects(&o, &report);
    write_file(path("known_hosts"), "!127.0.0.1,127.* %s\n", host_type_key);
    assert_int_equal(connect_error(&o, &err), ERR_HOSTKEY);
}

static void
test_other_names(void **state)
{
    struct ssh_options o = usual_options();
    struct ssh_report report;

    write_file(path("known_hosts"), "junk\n\n@odd marker line\nx,[127.0.0.*]:%s %s comment\n",
        lab.port, host_type_key);
    assert_connects(&o, &report);
    write_file(path("known_hosts"), "an-alias %s\n", host_type_key);
    o.host_key_alias = "An-Alias";
    assert_connects(&o, &report);
    o.host_key_alias = NULL;
    know_host("host_ed25519.pub");
    shell("ssh-keygen -q -H -f %s 2>/dev/null >/dev/null && grep -q '^|1|' %s", path("known_hosts"),
        path("known_hosts"));
    assert_connects(&o, &report);
}

static void
test_changed_host(void **state)
{
    struct ssh_options o = usual_options();
    struct ssh_report report;
    struct err err;

    shell("cd %s && rm -f other && ssh-keygen -q -t ed25519 -N '' -f other", lab.dir);
    know_host("other.pub");
    for (int hashed = 0; hashed < 2; hashed++) {
        o.strict = SSH_STRICT_ACCEPT_NEW;
        assert_int_equal(try_connect(&o, &report, &err), ERR_HOSTKEY_CHANGED);
        assert_has(err.msg, report.fingerprint);
        assert_has(err.msg, "known_hosts line 2");
        shell("ssh-keygen -q -H -f %s >/dev/null 2>&1", path("known_hosts"));
    }
    shell("%s >/dev/null 2>&1", strstr(err.msg, "ssh-keygen"));
    assert_connects(&o, &report); /* forgotten, so new */
    /* strict=no lets it pass, but sends no password. */
    know_host("other.pub");
    o.strict = SSH_STRICT_NO;
    assert_connects(&o, &report);
    identity_list[0] = NULL;
    o.password = "x";
    assert_int_equal(connect_error(&o, &err), ERR_CREDENTIALS);
    assert_has(err.msg, "not sent");
}

static void
test_marked_lines(void **state)
{
    struct ssh_options o = usual_options();
    struct ssh_report report;
    struct err err;

    write_file(path("known_hosts"), "* %s\n@revoked * %s\n", host_type_key, host_type_key);
    o.strict = SSH_STRICT_NO;
    assert_int_equal(connect_error(&o, &err), ERR_HOSTKEY_REVOKED);
    assert_has(err.msg, "revoked by");
    assert_has(err.msg, "line 2");
    shell("%s", strstr(err.msg, "sed -i"));
    assert_connects(&o, &(struct ssh_report){0});
    o.strict = SSH_STRICT_ACCEPT_NEW;
    write_file(path("known_hosts"), "@cert-authority *.0.0.1,[127.0.0.1]:%s %s\n", lab.port,
        host_type_key);
    assert_int_equal(try_connect(&o, &report, &err), ERR_HOSTKEY);
    assert_has(err.msg, "cannot check");
    assert_true(report.openssh_could);
}

static void
test_known_type_is_preferred(void **state)
{
    struct ssh_options o = usual_options();
    struct ssh_report report;
    struct err err;
    char lines[300];

    snprintf(
        lines, sizeof lines, "HostKey %s\nHostKey %s\n", path("host_ed25519"), path("host_ecdsa"));
    sshd_start(lines);
    know_host("host_ecdsa.pub");
    assert_connects(&o, &report);
    know_host("host_ed25519.pub");
    assert_connects(&o, &report);
    /* A host known by a type that is not agreed on is not new. */
    sshd_start("");
    know_host("host_ecdsa.pub");
    o.strict = SSH_STRICT_ACCEPT_NEW;
    assert_int_equal(connect_error(&o, &err), ERR_HOSTKEY);
    assert_has(err.msg, "is known by another key (ecdsa-sha2-nistp256");
}

static void *
connect_once(void *arg)
{
    struct ssh_options *o = arg;
    struct err *err = xcalloc(1, sizeof *err);

    return try_connect(o, NULL, err) ? err : (free(err), NULL);
}

static void
test_accept_new(void **state)
{
    enum { THREADS = 8 };
    struct ssh_options o = usual_options();
    pthread_t threads[THREADS];
    char file[160];
    const char *const files[] = {file, NULL};
    struct stat st;

    snprintf(file, sizeof file, "%s/new_directory/known_hosts", lab.dir);
    o.known_hosts = files;
    o.strict = SSH_STRICT_ACCEPT_NEW;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, connect_once, &o), 0);
    for (int i = 0; i < THREADS; i++) {
        struct err *err;

        pthread_join(threads[i], (void **)&err);
        if (err)
            fail_msg("%s", err->msg);
    }
    shell("test $(wc -l < %s) = 1", file);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    o.strict = SSH_STRICT_YES;
    assert_int_equal(try_connect(&o, NULL, &(struct err){0}), 0);
    /* A file whose last line has no end. */
    write_file(file, "x ssh-ed25519 AAAA");
    o.strict = SSH_STRICT_ACCEPT_NEW;
    assert_int_equal(try_connect(&o, NULL, &(struct err){0}), 0);
    shell("test $(wc -l < %s) = 2", file);
}

static void
test_algorithms(void **state)
{
    struct ssh_options o = usual_options();
    struct ssh_report report;
    struct err err;

    o.ciphers = "nonsense,aes256-ctr";
    o.macs = "hmac-sha2-512";
    o.compression = true;
    assert_connects(&o, &report);
    o.ciphers = "nonsense";
    assert_int_equal(try_connect(&o, &report, &err), ERR_CONNECT);
    assert_has(err.msg, "none of the ciphers");
    assert_true(report.openssh_could);
    o.ciphers = NULL;
    sshd_start("KexAlgorithms sntrup761x25519-sha512@openssh.com\n");
    know_host("host_ed25519.pub");
    assert_int_equal(try_connect(&o, &report, &err), ERR_CONNECT);
    assert_has(err.msg, "in common");
    assert_true(report.openssh_could);
    sshd_start("");
}

static void
test_not_reached(void **state)
{
    struct ssh_options o = usual_options();
    struct err err;
    char port[8];
    int fd = listen_somewhere(port, -1), full[64];
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    o.port = port;
    assert_int_equal(connect_error(&o, &err), ERR_CONNECT);
    assert_has(err.msg, "refused the connection");
    o.host = "no-such-host.invalid";
    assert_int_equal(connect_error(&o, &err), ERR_CONNECT);
    assert_has(err.msg, "no-such-host.invalid does not resolve");

    /* Once its backlog is full, the kernel drops what asks for a connection. */
    o.host = "127.0.0.1";
    o.connect_ms = 300;
    listen(fd, 0);
    in.sin_port = htons((uint16_t)atoi(port));
    for (int i = 0; i < 64; i++) {
        full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(full[i], (struct sockaddr *)&in, sizeof in);
    }
    assert_int_equal(connect_error(&o, &err), ERR_TIMEOUT);
    assert_has(err.msg, "no answer from 127.0.0.1 port");
    assert_has(err.msg, "within 0.3 s");
    for (int i = 0; i < 64; i++)
        close(full[i]);
    close(fd);
}

/* A server that says something, or nothing, and then hangs up or waits. */
struct impostor {
    int fd;
    const char *says;
    bool hangs_up;
    atomic_bool *cancel; /* set after it has spoken */
};

static void *
impostor_main(void *arg)
{
    struct impostor *m = arg;
    int fd = accept(m->fd, NULL, NULL);
    char sink[4096];

    if (m->says && send(fd, m->says, strlen(m->says), MSG_NOSIGNAL) < 0)
        perror("send");
    if (m->hangs_up)
        shutdown(fd, SHUT_WR);
    if (m->cancel && recv(fd, sink, sizeof sink, 0) > 0)
        atomic_store(m->cancel, true); /* now it is past connecting */
    while (recv(fd, sink, sizeof sink, 0) > 0) {}
    close(fd);
    return NULL;
}

static void
meet_impostor(const char *says, bool hangs_up, atomic_bool *cancel, int code, const char *text)
{
    struct ssh_options o = usual_options();
    char port[8];
    struct impostor m = {listen_somewhere(port, 4), says, hangs_up, cancel};
    int64_t start = clock_ms();
    pthread_t thread;
    struct err err;

    o.port = port;
    o.handshake_ms = cancel ? 20000 : 400;
    pthread_create(&thread, NULL, impostor_main, &m);
    assert_null(ssh_connect(NULL, &o, cancel, NULL, &err));
    pthread_join(thread, NULL);
    assert_int_equal(err.code, code);
    assert_has(err.msg, text);
    assert_true(clock_ms() - start < (cancel ? 1000 : 3000));
    close(m.fd);
}

static void
test_impostors(void **state)
{
    atomic_bool cancel = false;

    meet_impostor(NULL, false, NULL, ERR_TIMEOUT, "sent no SSH banner within 0.4 s");
    meet_impostor(NULL, true, NULL, ERR_CONNECT, "closed the connection before");
    meet_impostor("HTTP/1.1 400 Bad Request\r\n\r\n", true, NULL, ERR_CONNECT,
        "is not an SSH server: it said \"HTTP/1.1 400 Bad Request\"");
    meet_impostor("220 mail ESMTP\r\n", false, NULL, ERR_CONNECT, "said \"220 mail ESMTP\"");
    meet_impostor("Exceeded MaxStartups\r\n", true, NULL, ERR_CONNECT, "MaxStartups");
    meet_impostor(
        "SSH-2.0-x\r\n", true, NULL, ERR_CONNECT, "closed the connection during the key exchange");
    meet_impostor(
        "SSH-2.0-x\r\n", false, NULL, ERR_TIMEOUT, "the key exchange with 127.0.0.1 port");
    meet_impostor("SSH-2.0-x\r\ngarbage that is no packet at all ......", false, NULL, ERR_CONNECT,
        "the key exchange with");
    meet_impostor(
        "SSH-2.0-x\r\n", false, &cancel, ERR_CANCELLED, "cancelled during the key exchange");
}

static void
test_server_refuses_session(void **state)
{
    struct ssh_options o = usual_options();
    struct err err;

    sshd_start("MaxSessions 0\n");
    know_host("host_ed25519.pub");
    assert_int_equal(connect_error(&o, &err), ERR_CONNECT);
    assert_has(err.msg, "opens no session");
    sshd_start("MaxAuthTries 1\nAuthenticationMethods publickey\n");
    know_host("host_ed25519.pub");
    shell("cd %s && cp -p stranger strange2 && cp stranger.pub strange2.pub", lab.dir);
    identity_list[0] = path("stranger");
    identity_list[1] = path("strange2");
    assert_int_equal(connect_error(&o, &err), ERR_AUTH);
    assert_has(err.msg, "Too many authentication failures");
    sshd_start("");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_report, each),
        cmocka_unit_test_setup(test_key_types, each),
        cmocka_unit_test_setup(test_pem_key, each),
        cmocka_unit_test_setup(test_key_failures, each),
        cmocka_unit_test_setup(test_rsa, each),
        cmocka_unit_test_setup(test_agent, each),
        cmocka_unit_test_setup(test_password_refused, each),
        cmocka_unit_test_setup(test_unknown_host, each),
        cmocka_unit_test_setup(test_other_names, each),
        cmocka_unit_test_setup(test_changed_host, each),
        cmocka_unit_test_setup(test_marked_lines, each),
        cmocka_unit_test_setup(test_known_type_is_preferred, each),
        cmocka_unit_test_setup(test_accept_new, each),
        cmocka_unit_test_setup(test_algorithms, each),
        cmocka_unit_test_setup(test_not_reached, each),
        cmocka_unit_test_setup(test_impostors, each),
        cmocka_unit_test_setup(test_server_refuses_session, each),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
