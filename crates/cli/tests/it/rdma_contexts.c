/* Opens contexts of an RDMA device, as libibverbs does, and prints how many it got.
 *
 *   rdma_contexts DEVICE COUNT
 *
 * Each is a handle of the device, which the control group counts (admin-guide/cgroup-v2, "RDMA").
 */
#include <fcntl.h>
#include <rdma/ib_user_verbs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int count, char **words)
{
    if (count != 3)
        return 2;
    int wanted = atoi(words[2]), got = 0;
    for (; got < wanted; got++) {
        int device = open(words[1], O_RDWR);
        if (device < 0) {
            perror(words[1]);
            return 1;
        }
        struct ib_uverbs_get_context_resp answer;
        struct {
            struct ib_uverbs_cmd_hdr header;
            struct ib_uverbs_get_context command;
        } request = {
            .header = {IB_USER_VERBS_CMD_GET_CONTEXT, sizeof request / 4, sizeof answer / 4},
            .command = {.response = (uintptr_t)&answer},
        };
        if (write(device, &request, sizeof request) < 0)
            break;
    }
    printf("%d\n", got);
    return 0;
}
