/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest without an operating system, as the firmware of a PC (qemu -bios): it writes the 32 MiB
 * from 16 MiB on for ever, one 32-bit word after the other, in pass p the value p. So at any
 * instant there is one k such that all words below k hold p and all others p - 1; memory that was
 * taken at two instants has another step in it, or a page of an older pass.
 *
 * EAX = p, EDI = address of the word to write next. POSITION, in a page of its own, gets EDI after
 * each word and, behind it, EAX at the start of each pass. Each pass begins with a letter to the
 * first serial port, if there is one: a to p over and over, b for the first.
 */
#define REGION_BYTES    0x02000000
#define REGION_ADDRESS  0x01000000
#define POSITION        0x00100000
#define SERIAL_PORT     0x3f8
#define IMAGE_BYTES     0x10000
#define CODE_SEGMENT    0x08
#define DATA_SEGMENT    0x10

    .section .text
    .code16
start16:
    cli
    lgdtl %cs:(table_pointer - start16)
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $CODE_SEGMENT, $(0xf0000 + start32 - start16)

    .code32
start32:
    movw $DATA_SEGMENT, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %eax, %eax
    movw $SERIAL_PORT, %dx
next_pass:
    incl %eax
    movl $REGION_ADDRESS, %edi
    movl %eax, POSITION + 4
    movl %eax, %esi
    andl $15, %esi
    addl $(0xf0000 + letters - start16), %esi
    outsb
next_word:
    movl %eax, (%edi)
    addl $4, %edi
    movl %edi, POSITION
    cmpl $(REGION_ADDRESS + REGION_BYTES), %edi
    jne next_word
    jmp next_pass

letters:
    .ascii "abcdefghijklmnop"

    .balign 8
table:
    .quad 0
    .quad 0x00cf9b000000ffff /* flat code */
    .quad 0x00cf93000000ffff /* flat data */
table_pointer:
    .word table_pointer - table - 1
    .long 0xf0000 + table - start16

    /* The processor starts 16 bytes before the end, in real mode. */
    .org IMAGE_BYTES - 16
    .code16
    jmp start16
    .org IMAGE_BYTES
