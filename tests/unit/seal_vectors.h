/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AES-256-GCM with 96-bit nonces and 128-bit tags, published by NIST (works of the US government,
 * in the public domain):
 *  - the GCM specification's test cases 13 to 16 (McGrew and Viega);
 *  - CAVP GCMVS, CAVS 14.0, gcmEncryptExtIV256.rsp and gcmDecrypt256.rsp: some of each size that
 *    the interface allows. pt NULL: the response file says FAIL, the tag is wrong.
 */
#ifndef SEAL_VECTORS_H
#define SEAL_VECTORS_H

#include <stddef.h>

struct seal_vector {
	const char *key, *nonce, *pt, *aad, *ct, *tag;
};

/* clang-format off: the vectors read better one part a line than aligned. */
static const struct seal_vector seal_vectors[] = {
  /* GCM specification, test cases 13, 14, 15, 16 */
	{"0000000000000000000000000000000000000000000000000000000000000000",
	 "000000000000000000000000", "",									 "",                                         "",                                 "530f8afbc74536b9a963b4f1c4cb738b"},
	{"0000000000000000000000000000000000000000000000000000000000000000",
	 "000000000000000000000000", "00000000000000000000000000000000",                                         "",
	 "cea7403d4d606b6e074ec5d3baf39d18",																		     "d0d1c8a799996bf0265b98b5d48ab919"},
	{"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	 "cafebabefacedbaddecaf888", "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	 "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255", "",
	 "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	 "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",														     "b094dac5d93471bdec1a502270e3cc6c"},
	{"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	 "cafebabefacedbaddecaf888", "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	 "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",	 "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	 "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	 "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",															     "76fc6ece0f4e1768cddf8853bb2d551b"},
 /* CAVP, PTlen 0, AADlen 0 and 128 */
	{"b52c505a37d78eda5dd34f20c22540ea1b58963cf8e5bf8ffa85f9f2492505b4",
	 "516c33929df5a3284ff463d7", "",									 "",                                         "",                                 "bdc1ac884d332457a1d2664f168c76f0"},
	{"5fe0861cdc2690ce69b3658c7f26f8458eec1c9243c5ba0845305d897e96ca0f",
	 "770ac1a5a3d476d5d96944a1", "",									 "",                                         "",                                 "196d691e1047093ca4b3d2ef4baba216"},
	{"78dc4e0aaf52d935c3c01eea57428f00ca1fd475f5da86a49c8dd73d68c8e223",
	 "d79cf22d504cc793c3fb6c8a", "",									 "b96baa8c1c75a671bfb2d08d06be5f36",         "",
	 "3e5d486aa2e30b22e040b85723a06e76"																							},
	{"4457ff33683cca6ca493878bdc00373893a9763412eef8cddb54f91318e0da88",
	 "699d1f29d7b8c55300bb1fd2", "",									 "6749daeea367d0e9809e2dc2f309e6e3",         "",
	 "d60c74d2517fde4a74e0cd4709ed43a9"																							},
 /* CAVP, PTlen 104 */
	{"82c4f12eeec3b2d3d157b0f992d292b237478d2cecc1d5f161389b97f999057a",
	 "7b40b20f5f397177990ef2d1", "982a296ee1cd7086afad976945",                                               "",                                         "ec8e05a0471d6b43a59ca5335f",
	 "113ddeafc62373cac2f5951bb9165249"																							},
	{"e5a0eb92cc2b064e1bc80891faf1fab5e9a17a9c3a984e25416720e30e6c2b21",
	 "4742357c335913153ff0eb0f", "8499893e16b0ba8b007d54665a",                                               "",                                         "eb8e6175f1fe38eb1acf95fd51",
	 "88a8b74bb74fda553e91020a23deed45"																							},
 /* CAVP, PTlen 128 */
	{"31bdadd96698c204aa9ce1448ea94ae1fb4a9a0b3c9d773b51bb1822666b8f22",
	 "0d18e06c7c725ac9e362e1ce", "2db5168e932556f8089a0622981d017d",                                         "",
	 "fa4362189661d163fcd6a56d8bf0405a",																		     "d636ac1bbedd5cc3ee727dc2ab4a9489"},
	{"460fc864972261c2560e1eb88761ff1c992b982497bd2ac36c04071cbb8e5d99",
	 "8a4a16b9e210eb68bcb6f58d", "99e4e926ffe927f691893fb79a96b067",                                         "",
	 "133fc15751621b5f325c7ff71ce08324",																		     "ec4e87e0cf74a13618d0b68636ba9fa7"},
 /* CAVP, PTlen 256 */
	{"37f39137416bafde6f75022a7a527cc593b6000a83ff51ec04871a0ff5360e4e",
	 "a291484c3de8bec6b47f525f", "fafd94cede8b5a0730394bec68a8e77dba288d6ccaa8e1563a81d6e7ccc7fc97",         "",
	 "44dc868006b21d49284016565ffb3979cc4271d967628bf7cdaf86db888e92e5",														     "01a2b578aa2f41ec6379a44a31cc019c"},
 /* CAVP, PTlen 408, AADlen 0 and 160 */
	{"595f259c55abe00ae07535ca5d9b09d6efb9f7e9abb64605c337acbd6b14fc7e",
	 "92f258071d79af3e63672285", "a6fee33eb110a2d769bbc52b0f36969c287874f665681477a25fc4c48015c541"
	 "fbe2394133ba490a34ee2dd67b898177849a91",			   "",
	 "bbca4a9e09ae9690c0f6f8d405e53dccd666aa9c5fa13c8758bc30abe1ddd1bc"
	 "ce0d36a1eaaaaffef20cd3c5970b9673f8a65c",																	       "26ccecb9976fd6ac9c2c0f372c52c821"},
	{"24501ad384e473963d476edcfe08205237acfd49b5b8f33857f8114e863fec7f",
	 "9ff18563b978ec281b3f2794", "27f348f9cdc0c5bd5e66b1ccb63ad920ff2219d14e8d631b3872265cf117ee86"
	 "757accb158bd9abb3868fdc0d0b074b5f01b2c",			   "adb5ec720ccf9898500028bf34afccbcaca126ef",
	 "eb7cb754c824e8d96f7c6d9b76c7d26fb874ffbf1d65c6f64a698d839b0b0614"
	 "5dae82057ad55994cf59ad7f67c0fa5e85fab8",																	       "bc95c532fecc594c36d1550286a7a3f0"},
	{"fb43f5ab4a1738a30c1e053d484a94254125d55dccee1ad67c368bc1a985d235",
	 "9fbb5f8252db0bca21f1c230", "34b797bb82250e23c5e796db2c37e488b3b99d1b981cea5e5b0c61a0b39adb6b"
	 "d6ef1f50722e2e4f81115cfcf53f842e2a6c08",			   "98f8ae1735c39f732e2cbee1156dabeb854ec7a2",
	 "871cd53d95a8b806bd4821e6c4456204d27fd704ba3d07ce25872dc604ea5c5e"
	 "a13322186b7489db4fa060c1fd4159692612c8",																	       "07b48e4a32fac47e115d7ac7445d8330"},
 /* CAVP gcmDecrypt256.rsp, PTlen 128, AADlen 128, counts 0 to 6 */
	{"54e352ea1d84bfe64a1011096111fbe7668ad2203d902a01458c3bbd85bfce14",
	 "df7c3bca00396d0c018495d9", "85fc3dfad9b5a8d3258e4fc44571bd3b",
	 "7e968d71b50c1f11fd001f3fef49d045",														 "426e0efc693b7be1f3018db7ddbb7e4d",
	 "ee8257795be6a1164d7e1d2d6cac77a7"																							},
	{"82f0d1ddc58123f805541f55a7eab43f56ddfefc06c73d57709df3d5a4aabfb3",
	 "0c9d74af29ed4406c77a8e4b", "3fe7811a8224a1881da34a27e03da86a",
	 "34325620a392739beeee6c370967d539",														 "c61155d41495e9fc76060fe7f8c926a2",
	 "66d8c881d66370504d2bf00cdb06259e"																							},
	{"9a0343f850a6427120f764789ffec6d237447b898fbf51d2182f065d3861497d",
	 "3deef6f453dd70d92143adcd", NULL,								       "dbb8226a624520863db6897017b2a4f8",
	 "e93165935ac18e3a2845d15fe31a9286",																		     "f5fc50d18766bc3d9e16dd136d45816b"},
	{"562a865ddc042577284b34b6cd267aa3e9adedf6b8a9e2490d5519eaea3daccc",
	 "f20e5db286f3ee11835a5103", "7e59320cc09d1ccfb49f7c90e81326dc",
	 "c638e57814cd44f8af9730208f5464d5",														 "ae62b52018c253be2463ff235cd3ff1d",
	 "6e481954d30c503ce6d448fda4116578"																							},
	{"2a765ceac97265c15209eea90bea85cd9586b972160502ff592a306dc017e6b9",
	 "62c545d9d4e3c7acb66b4bf1", NULL,								       "7d12474e23dc233bc6312d4d5b2deee4",
	 "ae0594a7b66d3a958e4e6212d3288f91",																		     "ec9aa846d185cc0f43d392240cd6e2c4"},
	{"b919ab155fc93ad5f3bac0e9706999031a3175356b070bd45fa6dbe7099126d0",
	 "e65d8f9f6b67d5b333191044", "0c5b45bf8168b2cd8069702624c68dc5",
	 "b04f3b04764aa3208165e8374faea266",														 "3da7bfdbe0fc98a1b657f70b2c046f46",
	 "d9bfbcb1a1027b0d5dbe9e0accf587b5"																							},
	{"2b44f83492c05b784b6d9405c64a0530eb9ac7fcd6d5d1f0e3d4ab015a07398b",
	 "88c16315108517124ba3b280", NULL,								       "af6406f8222a287ef1086a264929dfc5",
	 "a0df8e1083853d740e80dd77e3a78d10",																		     "08d0184cb2cbec32ebbebb30fb253e74"},
};
/* clang-format on */

#endif
