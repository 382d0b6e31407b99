#!/bin/sh
# Makes the prompts and the music in this folder, and their English counterparts in en/. Needs espeak-ng and sox.
# The WAV files are part of the repository: run this only to change a text, or replace any file by a recording of your own
# (any PCM WAV, 8 to 48 kHz, mono or stereo).
set -eu
cd "$(dirname "$0")"
mkdir -p en
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

calc() { awk "BEGIN { print $1 }"; }

# say VOICE FILE TEXT: speech without silence at its ends but for a breath, evened out a little for the telephone,
# 8 kHz mono 16 bit, peak at -6 dBFS.
say() {
    espeak-ng -v "$1" -s 150 -p 45 -w "$work/speech.wav" "$3"
    sox -R -D "$work/speech.wav" -c 1 -b 16 "$2" \
        gain -6 highpass 120 rate 8000 \
        silence 1 0.02 0.5% reverse silence 1 0.02 0.5% reverse \
        compand 0.005,0.1 6:-60,-60,-30,-16,-6,-6 -2 -20 0.005 \
        pad 0.1 0.2 gain -n -6
}

ru() { say ru "$1.wav" "$2"; }
en() { say en-us "en/$1.wav" "$2"; }

ru greeting 'Здравствуйте! Вы позвонили в интернет-магазин. Чтобы сделать заказ, нажмите один. Если у вас вопрос по заказу, нажмите два. Чтобы поговорить с оператором, нажмите ноль.'
ru menu 'Отдел продаж, нажмите один. Поддержка, нажмите два. Оператор, нажмите ноль.'
ru please_wait 'Спасибо за звонок! Пожалуйста, оставайтесь на линии. Мы уже соединяем вас с оператором.'
ru leave_message 'К сожалению, сейчас никто не может ответить. Оставьте, пожалуйста, сообщение после сигнала, и мы обязательно вам перезвоним. Чтобы закончить, нажмите решётку.'
ru closed 'Здравствуйте! Сейчас магазин закрыт. Позвоните нам, пожалуйста, в рабочее время, или сделайте заказ на сайте в любой час.'
ru all_busy 'Спасибо за ожидание! Все операторы сейчас разговаривают с другими покупателями.'
ru goodbye 'Спасибо за звонок! До свидания.'

en greeting 'Hello, and welcome to our online shop! To place an order, press one. If you have a question about an order, press two. To talk to an operator, press zero.'
en menu 'For sales, press one. For support, press two. For an operator, press zero.'
en please_wait 'Thank you for calling! Please stay on the line. We are connecting you to an operator.'
en leave_message 'We are sorry, nobody can answer right now. Please leave a message after the tone, and we will certainly call you back. To end the message, press the hash key.'
en closed 'Hello! Our shop is closed at the moment. Please call us again during opening hours, or place your order on our web site at any time.'
en all_busy 'Thank you for waiting! All our operators are still talking to other customers.'
en goodbye 'Thank you for calling! Good bye.'

# The music: a slow pentatonic melody over soft chords, 32 steps of 0.4 s. It is rendered twice in a row and the second
# round is kept, so that what still sounds at its end is heard at its beginning and the loop has no seam.
loop=12.8
notes=0
# note START LENGTH LEVEL FADE_IN FREQUENCY: adds a soft note to both rounds.
note() {
    for start in "$1" "$(calc "$1 + $loop")"; do
        notes=$((notes + 1))
        sox -R -D -n -r 8000 -c 1 -b 24 "$work/note$notes.wav" \
            synth "$2" triangle "$5" gain "$3" fade h "$4" "$2" "$(calc "$2 - $4 - 0.02")" pad "$start"
    done
}
step=0
for frequency in 523.25 0 659.26 783.99 0 659.26 587.33 0 440.00 0 523.25 659.26 0 587.33 523.25 0 \
    587.33 0 783.99 880.00 0 783.99 659.26 0 523.25 587.33 0 440.00 523.25 0 0 0; do
    [ "$frequency" = 0 ] || note "$(calc "$step * 0.4")" 1.6 -12 0.03 "$frequency"
    step=$((step + 1))
done
# chord START FREQUENCY…: 3.2 s, blending into the next.
chord() {
    at=$1
    shift
    for frequency in "$@"; do note "$at" 4.4 -20 1.2 "$frequency"; done
}
chord 0 261.63 329.63 392.00
chord 3.2 220.00 261.63 329.63
chord 6.4 293.66 392.00 440.00
chord 9.6 261.63 329.63 440.00
sox -R -D -m "$work"/note*.wav -r 8000 -c 1 -b 24 "$work/rounds.wav" lowpass 3000
sox -R -D "$work/rounds.wav" "$work/round.wav" trim "$loop" "$loop" gain -n -6
rms=$(sox -R -D "$work/round.wav" -n stats 2>&1 | awk '/^RMS lev dB/ { print $4 }')
sox -R -D "$work/round.wav" -b 16 music.wav gain "$(calc "-18 - ($rms)")"
cp music.wav en/music.wav
