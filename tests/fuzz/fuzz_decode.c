/*
 * Any bytes through the decoder: the first one picks the mode. What comes out
 * keeps the promises of cpu/decode.h.
 */
#include "base/assert.h"
#include "cpu/decode.h"
#include "cpu/sse.h"

static void check_operand(const struct hk_insn *i, const struct hk_operand *o)
{
    switch ((enum hk_opnd_kind)o->kind) {
    case HK_OPND_GPR:
    case HK_OPND_CR:
        hk_assert(o->reg < 16);
        break;
    case HK_OPND_GPR8H:
        hk_assert(o->reg < 4 && o->size == 1 && i->rex == 0);
        break;
    case HK_OPND_MEM:
        hk_assert(i->is_mem);
        break;
    case HK_OPND_SREG:
        hk_assert(o->reg < HK_SEG_COUNT);
        break;
    case HK_OPND_DR:
        hk_assert(o->reg < 8);
        break;
    case HK_OPND_IMM:
    case HK_OPND_NONE:
        break;
    case HK_OPND_XMM:
    case HK_OPND_MM:
        hk_assert(false);
        break;
    }
}

static void check_insn(const struct hk_insn *i)
{
    bool is_long = i->code_size == HK_CODE64;
    hk_assert(i->op < HK_OP_COUNT);
    hk_assert(i->base <= HK_REG_RIP && i->index <= HK_REG_NONE);
    hk_assert(i->base != HK_REG_RIP || is_long);
    hk_assert(i->scale <= 3);
    hk_assert((i->op == HK_OP_SSE) == (i->sse != NULL));
    for (unsigned n = 0; n < HK_COUNT(i->opnd); n++) {
        hk_assert(i->op != HK_OP_UD || i->opnd[n].kind == HK_OPND_NONE);
        check_operand(i, &i->opnd[n]);
    }
    if (i->op == HK_OP_UD)
        return;
    hk_assert(i->seg < HK_SEG_COUNT && i->cc < 16 && i->vvvv < 16);
    hk_assert(i->opsize == 1 || i->opsize == 2 || i->opsize == 4 ||
              (i->opsize == 8 && is_long));
    hk_assert(i->addrsize == 2 || i->addrsize == 4 || i->addrsize == 8);
    hk_assert((i->addrsize == 8) <= is_long);
    hk_assert(!i->lock || i->opnd[0].kind == HK_OPND_MEM);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum hk_code_size mode = (enum hk_code_size)(data[0] % 3);
    size_t at = 1;
    while (at < size) {
        struct hk_insn insn;
        int len = hk_decode(data + at, size - at, mode, &insn);
        if (len < 0) {
            hk_assert(len == HK_DECODE_TOO_LONG || len == HK_DECODE_MORE);
            break;
        }
        hk_assert(len >= 1 && len <= HK_INSN_MAX_LEN);
        hk_assert((size_t)len <= size - at && len == insn.len);
        check_insn(&insn);
        at += (size_t)len;
    }
    return 0;
}
