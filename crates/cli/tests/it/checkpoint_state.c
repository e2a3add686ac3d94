/* Somebody with a state that a checkpoint has a flag for.
 *
 *   checkpoint_state lock FILE         holds a lock of the file (flock(2))
 *   checkpoint_state log SOCKET        sends a datagram to the socket, again and again
 *   checkpoint_state take SOCKET       makes the socket, and says how many datagrams have come
 *   checkpoint_state listen PORT       listens, and accepts nobody
 *   checkpoint_state fill              has eight megabytes of memory, and at SIGUSR1 changes half
 *   checkpoint_state screen COMMAND…   gives the command a terminal, and prints what it writes there
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void must(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

static void stay(void)
{
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}

static int datagrams(struct sockaddr_un *address, const char *path)
{
    address->sun_family = AF_UNIX;
    strncpy(address->sun_path, path, sizeof address->sun_path - 1);
    int made = socket(AF_UNIX, SOCK_DGRAM, 0);
    must(made, "socket");
    return made;
}

static void send_all(const char *path)
{
    struct sockaddr_un address = {0};
    int made = datagrams(&address, path);
    must(connect(made, (void *)&address, sizeof address), "connect");
    for (;;) {
        must(send(made, "x", 1, 0), "send");
        usleep(200000);
    }
}

static void take_all(const char *path)
{
    struct sockaddr_un address = {0};
    int made = datagrams(&address, path);
    must(bind(made, (void *)&address, sizeof address), "bind");
    char byte;
    for (int count = 1; recv(made, &byte, 1, 0) == 1; count++) {
        printf("%d\n", count);
        fflush(stdout);
    }
}

static void listen_at(int port)
{
    int made = socket(AF_INET, SOCK_STREAM, 0);
    must(made, "socket");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    must(bind(made, (void *)&address, sizeof address), "bind");
    must(listen(made, 5), "listen");
    stay();
}

static void on_screen(char **command)
{
    int master;
    pid_t child = forkpty(&master, NULL, NULL, NULL);
    must(child, "forkpty");
    if (child == 0) {
        execvp(command[0], command);
        _exit(127);
    }
    char text[4096];
    for (ssize_t length; (length = read(master, text, sizeof text)) > 0;)
        must(write(1, text, length), "write");
}

static char *memory;

static void change(int signal)
{
    (void)signal;
    memset(memory, 'y', 4 << 20);
}

static void fill(void)
{
    memory = malloc(8 << 20);
    memset(memory, 'x', 8 << 20);
    signal(SIGUSR1, change);
    stay();
}

int main(int count, char **words)
{
    const char *what = count > 1 ? words[1] : "";
    const char *with = count > 2 ? words[2] : "";
    if (strcmp(what, "lock") == 0) {
        int file = open(with, O_RDWR | O_CREAT, 0600);
        must(file, "open");
        must(flock(file, LOCK_EX | LOCK_NB), "flock");
        stay();
    } else if (strcmp(what, "log") == 0) {
        send_all(with);
    } else if (strcmp(what, "take") == 0) {
        take_all(with);
    } else if (strcmp(what, "listen") == 0) {
        listen_at(atoi(with));
    } else if (strcmp(what, "fill") == 0) {
        fill();
    } else if (strcmp(what, "screen") == 0) {
        on_screen(words + 2);
    }
    return 2;
}
